"""The command, as a user types it."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from xemplar_evaluator import run as module
from xemplar_evaluator.cli import evaluate
from xemplar_evaluator.section import Section

from tests.evaluator.conftest import Phantoms
from xemplar.errors import NothingIndexed
from xemplar.model.checkpoint import keep

LINE = typer.Typer()
LINE.command()(evaluate)


@pytest.fixture
def words(phantoms: Phantoms, tiny_checkpoint: Path, tmp_path: Path) -> list[str]:
    data, store = phantoms.source.dataset.root, phantoms.source.store.root
    return [
        str(data), "--store", str(store), "--checkpoint", str(tiny_checkpoint),
        "--split", "test", "--out", str(tmp_path / "report"),
    ]  # fmt: skip


def test_one_study_writes_a_report_and_says_where(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(LINE, ["classification", *words])
    assert result.exit_code == 0, result.output
    assert "report.html" in result.stdout
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_network_is_the_one_that_made_the_index(
    words: list[str], phantoms: Phantoms, tiny_checkpoint: Path
) -> None:
    keep(tiny_checkpoint, phantoms.source.store)
    place = words.index("--checkpoint")
    result = CliRunner().invoke(LINE, ["classification", *words[:place], *words[place + 2 :]])
    assert result.exit_code == 0, result.output


def test_a_data_set_is_asked_for_under_the_name_that_it_was_indexed_as(
    words: list[str], tmp_path: Path
) -> None:
    result = CliRunner().invoke(LINE, ["classification", *words, "--source", "theirs"])
    assert isinstance(result.exception, NothingIndexed)
    assert "no case of theirs; it holds phantoms train" in str(result.exception)
    assert "--source theirs" in str(result.exception)
    assert not (tmp_path / "report").exists()


def test_it_exits_with_1_where_the_maps_must_not_be_released(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Section("faithfulness", "F", failures=("The maps ignore the network.",))
    monkeypatch.setattr(module, "faithfulness", lambda *_: failed)
    result = CliRunner().invoke(LINE, ["faithfulness", *words])
    assert result.exit_code == 1
    assert "The maps ignore the network." in result.stderr
    assert (tmp_path / "report" / "report.html").is_file()  # the report says why


def test_an_interrupted_run_says_how_to_go_on(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Section:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "classification", interrupted)
    result = CliRunner().invoke(LINE, ["classification", *words])
    assert result.exit_code == 130
    assert "run the same command to go on" in result.stderr
    assert not (tmp_path / "report").exists()


def test_the_help_shows_examples() -> None:
    assert "xemplar evaluate all nih14" in CliRunner().invoke(LINE, ["--help"]).stdout
