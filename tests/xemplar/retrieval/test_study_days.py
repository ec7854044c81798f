"""Days of studies: compared within a patient, shifted by a secret, written nowhere as dates."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.images import dicom, drawn_image, encoded
from tests.xemplar.retrieval.test_references import written
from xemplar.archive.store import Store
from xemplar.catalog import Case, migrate, open_catalog
from xemplar.data.datasets import DatasetImage
from xemplar.imaging.dicom.study import study_day
from xemplar.indexing.job import embed_images
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval.references import StudyReferences, study_references
from xemplar.retrieval.timeline import in_order

DATES = ("20200301", "20200228", "20210228")
IMAGE = drawn_image(7)


def film(number: int, day: str) -> bytes:
    return dicom(drawn_image(number), StudyDate=day)


def indexed(
    folder: Path, checkpoint: Checkpoint, *, days: bool, patient: str = "4711"
) -> list[Case]:
    """Index films of one patient with a store of their own."""
    store = Store(folder / "store")
    for number, day in enumerate(DATES):
        (folder / f"{number}.dcm").write_bytes(film(number, day))
    images = [
        DatasetImage(folder / f"{number}.dcm", "clinic", patient=patient)
        for number in range(len(DATES))
    ]
    migrate(store.database_url, store)
    encoder = open_encoder(checkpoint, precision=Precision.FLOAT32)
    with open_catalog(store.database_url) as catalog:
        embed_images(
            images, store, catalog, encoder, references=study_references(store, "", days=days)
        )
        return list(catalog.cases(range(1, len(DATES) + 1)).values())


def test_days_of_a_patient_are_compared_and_no_date_is_written(
    tmp_path: Path, tiny: Checkpoint
) -> None:
    order, films = in_order(indexed(tmp_path, tiny, days=True))
    days = [day for _, day in films if day is not None]
    assert (order, np.diff(days).tolist()) == ("day", [2, 364])
    assert min(days) - date(2020, 2, 28).toordinal() == Store(tmp_path / "store").shift(
        str(films[0][0].patient)
    )
    content = written(tmp_path / "store")
    for day in DATES:
        plain = date.fromisoformat(day)
        for form in (day, plain.isoformat()):
            assert form.encode() not in content


def test_without_the_setting_none_is_kept(tmp_path: Path, tiny: Checkpoint) -> None:
    assert {case.shifted_day for case in indexed(tmp_path, tiny, days=False)} == {None}


def test_the_shift_differs_between_patients_and_stores(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    shifts = [one.shift("a" * 16), one.shift("b" * 16), other.shift("a" * 16)]
    assert len(set(shifts)) == 3
    assert one.shift("a" * 16) == shifts[0]
    assert all(0 <= shift < 2**30 for shift in shifts)


def test_an_unknown_patient_has_no_day(tmp_path: Path) -> None:
    kept = StudyReferences(Store(tmp_path), "", days=True)
    assert kept.shifted_day(film(1, "20200301"), None) is None
    assert kept.seal(film(1, "20200301"), "0" * 64) is None


@pytest.mark.parametrize(
    "text",
    ["        ", "2020    ", "20200231", "18000101", "99990101", "2020.3.1", "\xb2\xb2202031"],
)
def test_a_date_that_cannot_be_is_none(text: str) -> None:
    written = film(7, "20200301").replace(b"20200301", text.encode("latin-1"))
    assert study_day(written) is None


def test_other_files_have_no_day() -> None:
    assert study_day(encoded(IMAGE)) is None
