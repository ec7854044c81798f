"""``xemplar dicom outbox``, as a user types it."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result
from xemplar_pacs.cli import dicom
from xemplar_pacs.outbox.outbox import NewResult, Outbox, image_digest

from xemplar.errors import ConfigurationError, NotFound

LINE = typer.Typer()
LINE.add_typer(dicom, name="dicom")


def run(folder: Path, *words: str) -> Result:
    line = ["dicom", "outbox", *words, "--folder", str(folder)]
    return CliRunner().invoke(LINE, line, env={"COLUMNS": "160"})


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """An image that waits, a report that is held, and an image that was answered."""
    box = Outbox.open(tmp_path)
    for data in (b"first", b"second"):
        box.keep(data, image_digest(data), "1.2", "ask")
    first, _ = box.waiting("ask")
    box.answered(first, [NewResult("structured report", "1.3", "2.25.4711", b"r")], None)
    box.fail(box.waiting("send")[0], "the archive answered with status 0xA900", most=1)
    return box


def test_lists_what_waits_and_why(outbox: Outbox) -> None:
    said = run(outbox.folder, "list").output
    lines = [line.split() for line in said.splitlines()]
    assert ["2", "image", "ask", "waiting", "0"] in [line[:5] for line in lines]
    assert ["3", "structured", "report", "send", "held", "1"] in [line[:6] for line in lines]
    assert "status 0xA900" in said
    assert "2 in the outbox, 1 of them held" in said
    assert "1 images done: answered" in said
    assert "4711" not in said


def test_retries_all(outbox: Outbox) -> None:
    assert "2 will be tried again" in run(outbox.folder, "retry").output
    assert not any(item.held for item in outbox.all())


def test_retries_one(outbox: Outbox) -> None:
    assert "1 will be tried again" in run(outbox.folder, "retry", "3").output


def test_drops(outbox: Outbox) -> None:
    assert "1 dropped" in run(outbox.folder, "drop", "3").output
    assert [item.id for item in outbox.all()] == [2]


def test_says_what_is_not_there(outbox: Outbox, tmp_path: Path) -> None:
    assert isinstance(run(outbox.folder, "drop", "9").exception, NotFound)
    nowhere = run(tmp_path / "nowhere", "list")
    assert isinstance(nowhere.exception, ConfigurationError)
