"""``xemplar dicom fetch``, as a user types it."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result
from xemplar_pacs.cli import dicom

from tests.pacs.web_archive import WebArchive
from xemplar.errors import ConfigurationError, InvalidArgument

LINE = typer.Typer()
LINE.add_typer(dicom, name="dicom")


@pytest.fixture
def line(tmp_path: Path, tiny_checkpoint: Path) -> list[str]:
    """Words that each run has."""
    store = ["--store", str(tmp_path / "store"), "--checkpoint", str(tiny_checkpoint)]
    return [*store, "--precision", "float32", "--threads", "1"]


def fetch(*words: str) -> Result:
    return CliRunner().invoke(LINE, ["dicom", "fetch", *words])


def test_fetches_publishes_and_sums_up(web: WebArchive, line: list[str]) -> None:
    first = fetch(web.url, "--limit", "2", *line)
    assert first.exit_code == 0, first.output
    assert "2 images embedded" in first.output
    assert "there may be more in the archive" in first.output
    web.fault = lambda path: (404, "text/plain", b"") if path.endswith("1.2.5.4") else None
    second = fetch(web.url, *line)
    assert "2 images embedded" in second.output
    assert "2 studies fetched before" in second.output
    assert "1 left out (it is no longer in the archive: 1)" in second.output
    assert "with 4 cases is live" in second.output
    assert "1.2." not in first.output + second.output


def test_an_empty_archive_publishes_nothing(web: WebArchive, line: list[str]) -> None:
    web.films.clear()
    result = fetch(web.url, *line)
    assert result.exit_code == 0, result.output
    assert "0 images embedded" in result.output
    assert "generation" not in result.output


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (("ftp://pacs",), ConfigurationError, "cannot be used"),
        (("http://me:secret@pacs/dicom-web",), ConfigurationError, "password_file"),
        (("dicom://ORTHANC@pacs:104",), ConfigurationError, "over DICOMweb"),
        (("http://pacs", "--dates", "2020"), InvalidArgument, "--dates"),
        (("http://pacs", "--between", "22-6"), InvalidArgument, "--between"),
        (("http://pacs", "--modality", "D*"), InvalidArgument, "coded value"),
        (("http://pacs", "--viewer-url", "http://v"), ConfigurationError, "XEMPLAR_VIEWER_URL"),
    ],
)
def test_refuses_what_cannot_work_before_any_work(
    line: list[str], words: tuple[str, ...], kind: type[Exception], told: str
) -> None:
    result = fetch(*words, *line)
    assert isinstance(result.exception, kind)
    assert told in str(result.exception)
    assert "secret" not in str(result.exception)
