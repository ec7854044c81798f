"""``xemplar dicom results``, as a user types it."""

import sys
from pathlib import Path

import pytest
import typer
from pydicom import dcmread
from typer.testing import CliRunner, Result
from xemplar_pacs.cli import dicom

from tests.images import drawn_image, encoded
from tests.pacs.films import IDENTITY, STUDY, film
from tests.stores import SmallStore
from xemplar.errors import InvalidArgument, UnreadableImage

LINE = typer.Typer()
LINE.add_typer(dicom, name="dicom")


def run(store: SmallStore, image: Path, out: Path, *words: str) -> Result:
    named = ["--out", str(out), "--store", str(store.store.root)]
    line = ["dicom", "results", str(image), *named, *words]
    return CliRunner().invoke(LINE, line)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.dcm"
    path.write_bytes(film(drawn_image(50)))
    return path


def test_writes_a_picture_and_a_report_of_the_study(
    own: SmallStore, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answer"
    result = run(own, image, out, "-k", "2", "--counter-examples", "1")
    assert result.exit_code == 0, result.output
    written = {path.name: dcmread(path) for path in out.iterdir()}
    assert set(written) == {"secondary-capture.dcm", "structured-report.dcm"}
    assert {one.StudyInstanceUID for one in written.values()} == {STUDY}
    for one in written.values():
        assert str(one.SOPInstanceUID) in result.output
    assert "Research use, not for diagnosis." in result.output


def test_tells_nothing_of_the_patient(own: SmallStore, image: Path, tmp_path: Path) -> None:
    said = run(own, image, tmp_path / "answer").output
    assert not [value for value in IDENTITY.values() if len(value) > 1 and value in said]
    assert STUDY not in said


def test_lets_no_other_user_read_what_names_the_patient(
    own: SmallStore, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answer"
    run(own, image, out)
    assert [oct(path.stat().st_mode)[-3:] for path in (out, *out.iterdir())] == [
        "700",
        "600",
        "600",
    ]


def test_refuses_a_picture(own: SmallStore, image: Path, tmp_path: Path) -> None:
    image.write_bytes(encoded(drawn_image(50)))
    result = run(own, image, tmp_path / "answer")
    assert isinstance(result.exception, UnreadableImage)


def test_leaves_no_folder_where_it_fails(
    own: SmallStore, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar_pacs.results.objects.MOST_CASES", 2)
    result = run(own, image, tmp_path / "answer", "-k", "3")
    assert isinstance(result.exception, InvalidArgument)
    assert not (tmp_path / "answer").exists()


def test_names_the_extra_that_is_missing(
    own: SmallStore, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("xemplar_pacs.results")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    result = run(own, image, tmp_path / "answer")
    assert result.exit_code == 2
    assert "pip install 'xemplar[pacs]'" in result.output
