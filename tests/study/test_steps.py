"""Steps: commands that can be repeated by hand, each recorded when it has finished."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from xemplar_study import steps as module
from xemplar_study.choices import Choices, DataChoices, IndexChoices, TrainChoices
from xemplar_study.inspection import inspect
from xemplar_study.steps import (
    Place,
    Step,
    digest_of_study,
    read_record,
    run_steps,
    steps_of,
)

from tests.study.test_requirements import QUERIES, USABLE, study_of
from xemplar.data.splits import PatientSplit
from xemplar.errors import ConfigurationError, Mismatch


def test_the_steps_are_commands_with_every_choice(tmp_path: Path) -> None:
    chosen, seen = study_of(tmp_path, *USABLE, *QUERIES)
    index, evaluate = steps_of(chosen, seen, Place(Path("/study")))
    assert " ".join(index.words) == (
        f"index {tmp_path} --source ward --patients ward --unknown-findings refuse "
        "--store /study/archive --split train"
    )
    assert " ".join(evaluate.words) == (
        f"evaluate all {tmp_path} --source ward --patients ward --unknown-findings refuse "
        "--out /study/evaluation/ward --store /study/archive --split test --index-split train "
        "--tuning-split val --leaks refuse"
    )


def test_a_trained_network_is_what_the_other_steps_use(tmp_path: Path) -> None:
    chosen, seen = study_of(tmp_path, *USABLE, *QUERIES)
    chosen = replace(chosen, train=TrainChoices(True, "guided", ("--epochs", "2")))
    train, index, evaluate = steps_of(chosen, seen, Place(Path("/study")))
    assert train.words[-4:] == ("--recipe", "guided", "--epochs", "2")
    for step in (index, evaluate):
        assert "/study/training/checkpoint.safetensors" in step.words


def test_a_training_begins_with_the_checkpoint_that_is_named(tmp_path: Path) -> None:
    chosen, seen = study_of(tmp_path, *USABLE, *QUERIES)
    chosen = replace(chosen, train=TrainChoices(True), index=IndexChoices("/other.safetensors"))
    train, index, _ = steps_of(chosen, seen, Place(Path("/study")))
    assert train.words[-2:] == ("--initial", "/other.safetensors")
    assert "/other.safetensors" not in index.words


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the results that steps made; a step of "fail" fails."""
    made: list[str] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
        words = command[4:]
        if words[0] == "fail":
            return subprocess.CompletedProcess(command, 1)
        made.append(words[0])
        Path(words[0]).touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module.subprocess, "run", run)
    return made


def test_finished_steps_are_not_run_again(tmp_path: Path, ran: list[str]) -> None:
    place = Place(tmp_path)
    first, second = (tmp_path / name for name in ("1", "2"))
    steps = [Step("one", (str(first),), first), Step("two", ("fail",), second)]
    with pytest.raises(ConfigurationError, match=r"the step 'two' ended with status 1; .* goes on"):
        run_steps(steps, place, read_record(place, "d"), lambda _: None)
    assert ran == [str(first)]
    steps[1] = Step("two", (str(second),), second)
    run_steps(steps, place, read_record(place, "d"), lambda _: None)
    assert ran == [str(first), str(second)]
    assert set(json.loads(place.record.read_text())["steps"]) == {"one", "two"}


def test_a_step_whose_result_is_gone_is_run_again(tmp_path: Path, ran: list[str]) -> None:
    place, result = Place(tmp_path), tmp_path / "1"
    steps = [Step("one", (str(result),), result)]
    for _ in range(2):
        run_steps(steps, place, read_record(place, "d"), lambda _: None)
        result.unlink()
    assert len(ran) == 2


def test_an_evaluation_that_warns_counts(tmp_path: Path, ran: list[str]) -> None:
    assert ran == []
    result = tmp_path / "report.json"
    result.touch()
    step = Step("evaluate", ("fail",), result, (1,))
    run_steps([step], Place(tmp_path), {"steps": {}}, lambda _: None)


def test_a_record_of_other_data_is_refused(tmp_path: Path, ran: list[str]) -> None:
    place, result = Place(tmp_path), tmp_path / "1"
    run_steps([Step("one", (str(result),), result)], place, read_record(place, "d"), print)
    assert ran
    with pytest.raises(Mismatch, match="have changed since; take a new folder"):
        read_record(place, "e")


def test_the_digest_depends_on_labels_and_choices_and_not_on_the_place(tmp_path: Path) -> None:
    digests = []
    for place, rows in (("a", USABLE), ("b", USABLE), ("c", USABLE[:3])):
        (tmp_path / place).mkdir()
        chosen, seen = study_of(tmp_path / place, *rows, *QUERIES)
        digests.append(digest_of_study(chosen, seen, "checkpoint"))
    assert digests[0] == digests[1] != digests[2]
    other = replace(chosen, index=IndexChoices(splits=("val",)))
    assert digest_of_study(other, seen, "checkpoint") != digests[2]


def test_a_data_set_without_queries_is_indexed_and_not_evaluated(tmp_path: Path) -> None:
    roots = [tmp_path / "asked", tmp_path / "more"]
    for root, rows in zip(roots, ((*USABLE, *QUERIES), USABLE), strict=True):
        root.mkdir()
        study_of(root, *rows)
    names = ("asked", "more")
    chosen = Choices(DataChoices(tuple(map(str, roots)), names, ("same", "same")))
    folders = [(root, name, "same") for root, name in zip(roots, names, strict=True)]
    seen = inspect(folders, PatientSplit(), most=0)
    assert [step.name for step in steps_of(chosen, seen, Place(tmp_path))] == [
        "index",
        "evaluate asked",
    ]
