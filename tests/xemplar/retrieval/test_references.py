"""References to studies: sealed, bound to their case, gone with it."""

from pathlib import Path

import pytest

from tests.images import dicom, drawn_image
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Access, Catalog, migrate, open_catalog
from xemplar.catalog.copying import REFERENCES, copy_catalog
from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError, Mismatch
from xemplar.indexing.job import embed_images
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval.ingest import delete_case
from xemplar.retrieval.references import StudyReferences, study_references

STUDY = "1.2.826.0.1.3680043.99.4711"
VIEWER = "https://viewer.example/viewer?StudyInstanceUIDs={study}&x=1"
LINK = VIEWER.replace("{study}", STUDY)


@pytest.fixture
def references(tmp_path: Path) -> StudyReferences:
    made = study_references(Store(tmp_path / "store"), VIEWER)
    assert made is not None
    return made


def written(folder: Path) -> bytes:
    """All bytes below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def indexed(
    folder: Path, store: Store, checkpoint: Checkpoint, references: StudyReferences | None
) -> str:
    """Index one image of a study; return its case id."""
    path = folder / "image.dcm"
    path.write_bytes(dicom(drawn_image(7), StudyInstanceUID=STUDY))
    migrate(store.database_url, store)
    encoder = open_encoder(checkpoint, precision=Precision.FLOAT32)
    with open_catalog(store.database_url) as catalog:
        embed_images([DatasetImage(path, "clinic")], store, catalog, encoder, references=references)
        (case,) = catalog.cases([1]).values()
        return case.case_id


def linked(store: Store, case_id: str) -> str | None:
    """The link of a case."""
    with open_catalog(store.database_url) as catalog:
        sealed = catalog.reference(case_id)
    return None if sealed is None else StudyReferences(store, VIEWER).link(case_id, sealed)


def test_a_case_leads_to_its_study_and_its_uid_is_written_nowhere(
    tmp_path: Path, tiny: Checkpoint, references: StudyReferences
) -> None:
    case_id = indexed(tmp_path, references.store, tiny, references)
    assert linked(references.store, case_id) == LINK
    assert STUDY.encode() not in written(references.store.root)


def test_without_the_setting_none_is_kept(tmp_path: Path, tiny: Checkpoint) -> None:
    store = Store(tmp_path / "store")
    case_id = indexed(tmp_path, store, tiny, study_references(store, ""))
    assert linked(store, case_id) is None
    assert STUDY.encode() not in written(store.root)
    assert not store.pseudonym_key.exists()


def test_indexing_again_adds_them(
    tmp_path: Path, tiny: Checkpoint, references: StudyReferences
) -> None:
    indexed(tmp_path, references.store, tiny, None)
    case_id = indexed(tmp_path, references.store, tiny, references)
    assert linked(references.store, case_id) == LINK


def test_a_removed_case_takes_its_reference_with_it(
    tmp_path: Path, tiny: Checkpoint, references: StudyReferences
) -> None:
    store = references.store
    case_id = indexed(tmp_path, store, tiny, references)
    with open_catalog(store.database_url) as catalog:
        sealed = catalog.reference(case_id)
        delete_case(case_id, catalog, Media(store.media))
        assert catalog.reference(case_id) is None
        assert catalog.truncate_log()
    assert sealed is not None
    assert sealed not in written(store.root)


@pytest.mark.parametrize("left_out", [(), REFERENCES])
def test_a_copy_has_them_unless_they_are_left_out(
    tmp_path: Path, tiny: Checkpoint, references: StudyReferences, left_out: tuple[str, ...]
) -> None:
    store, copy = references.store, Store(tmp_path / "copy")
    case_id = indexed(tmp_path, store, tiny, references)
    with open_catalog(store.database_url) as catalog:
        sealed = catalog.reference(case_id)
    assert sealed is not None
    copy_catalog(store.database_url, copy.database_url, without=left_out)
    with open_catalog(copy.database_url) as copied:
        assert copied.reference(case_id) == (None if left_out else sealed)
    assert (sealed in written(copy.root)) is not bool(left_out)


def test_a_reference_is_of_one_case_and_one_key(
    tmp_path: Path, references: StudyReferences
) -> None:
    sealed = references.seal(dicom(drawn_image(1), StudyInstanceUID=STUDY), "ab" * 32)
    assert sealed is not None
    assert references.link("ab" * 8, sealed) == LINK
    with pytest.raises(Mismatch):
        references.link("cd" * 8, sealed)
    other = StudyReferences(Store(tmp_path / "other"), VIEWER)
    with pytest.raises(Mismatch):
        other.link("ab" * 8, sealed)


def test_two_images_of_a_study_are_not_seen_to_be(references: StudyReferences) -> None:
    data = dicom(drawn_image(1), StudyInstanceUID=STUDY)
    first, second = references.seal(data, "ab" * 32), references.seal(data, "ab" * 32)
    assert first != second


@pytest.mark.parametrize(
    "viewer_url",
    [
        "https://viewer.example/",
        "viewer.example/{study}",
        "javascript:alert('{study}')",
        "https://viewer.example/{study}/{study}",
        "https://viewer.example/{study}?{patient}",
        "https://viewer.example/{study} ",
        "https://viewer.example/\n{study}",
    ],
)
def test_an_address_that_leads_to_no_study_is_refused(tmp_path: Path, viewer_url: str) -> None:
    with pytest.raises(ConfigurationError, match="XEMPLAR_VIEWER_URL"):
        study_references(Store(tmp_path), viewer_url)


def test_both_databases_keep_them(migrated: str, tmp_path: Path, tiny: Checkpoint) -> None:
    store = Store(tmp_path / "store")
    references = StudyReferences(store, VIEWER)
    path = tmp_path / "image.dcm"
    path.write_bytes(dicom(drawn_image(7), StudyInstanceUID=STUDY))
    encoder = open_encoder(tiny, precision=Precision.FLOAT32)
    images = [DatasetImage(path, "clinic")]
    with open_catalog(migrated) as catalog:
        for _ in range(2):
            embed_images(images, store, catalog, encoder, references=references)
        (case,) = catalog.cases([1]).values()
        sealed = catalog.reference(case.case_id)
        assert sealed is not None
        assert references.link(case.case_id, sealed) == LINK
        assert of(catalog).reference(case.case_id) is None


def of(catalog: Catalog) -> Catalog:
    """The catalog, as a key of another source sees it."""
    return catalog.bound(Access(sources=frozenset({"elsewhere"})))
