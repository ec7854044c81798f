"""From a folder with an odd table to a report, as a new user would: three commands."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result
from xemplar_study import requirements
from xemplar_study.cli import study
from xemplar_study.cli_inspect import inspect

from tests.study.conftest import odd_folder
from xemplar.errors import ConfigurationError, DatasetError


def run(command: object, *words: object) -> Result:
    line = typer.Typer()
    line.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(line, [str(word) for word in words])


@pytest.mark.system
@pytest.mark.timeout(900)  # on a machine that is busy
def test_three_commands_lead_from_a_folder_to_a_report(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    folder, out = odd_folder(tmp_path / "Röntgen", 60), tmp_path / "study"
    for words, following in (
        (("--out", tmp_path / "seen.html"), ("inspect", "--fix-columns")),
        (("--fix-columns",), ("study", "--out my-study")),
    ):
        result = run(inspect, folder, *words)
        assert result.exit_code == 0, result.output
        command, option = following
        told = result.stderr.rpartition("next: ")[2]
        assert told.startswith(f"xemplar {command} ")
        assert option in told
    words = (folder, "--out", out, "--checkpoint", tiny_checkpoint, "--evaluate", "ranking")
    result = run(study, *words)
    assert result.exit_code == 0, result.output
    assert "next: xemplar serve --store" in result.stderr

    report = (out / "report.html").read_text()
    assert "Results on Röntgen" in report
    assert "Research use, not for diagnosis" in report
    assert "evaluation/Röntgen/report.html" in report
    assert (out / "evaluation" / "Röntgen" / "report.html").is_file()
    assert "We used 60 chest radiographs of Röntgen" in (out / "methods.md").read_text()
    assert "@inproceedings{huang2017," in (out / "references.bib").read_text()
    assert "röntgen 1.png" not in report
    record = json.loads((out / "study.json").read_text())
    assert list(record["steps"]) == ["index", "evaluate Röntgen"]
    assert record["digest"] in report

    again = run(study, "--out", out)  # goes on: nothing is left to do
    assert again.exit_code == 0, again.output
    assert again.stderr.count("done before") == 2
    other = run(study, *words[:-1], "classification")
    assert isinstance(other.exception, ConfigurationError)
    assert "other choices (evaluate.study)" in str(other.exception)


def test_what_cannot_succeed_is_refused_before_anything_is_written(
    odd: Path, tmp_path: Path
) -> None:
    result = run(study, odd, "--out", tmp_path / "study")
    assert isinstance(result.exception, DatasetError)
    assert "this study cannot succeed: no table of" in str(result.exception)
    assert not (tmp_path / "study").exists()


def test_missing_packages_are_named_before_any_image_is_read(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda _: None)
    result = run(study, odd, "--out", tmp_path / "study", "--train")
    assert isinstance(result.exception, ConfigurationError)
    assert "needs more packages: pip install 'xemplar[evaluate,train]'" in str(result.exception)
    assert "pictures" not in result.output


def test_a_folder_without_a_study_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    result = run(study, "--out", tmp_path)
    assert result.exit_code == 2
    told = " ".join(result.output.replace("│", " ").split())  # a frame breaks the line
    assert "holds no study to go on with; name data sets" in told
