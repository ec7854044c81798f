"""``study.toml``."""

from dataclasses import replace
from pathlib import Path

import pytest
from xemplar_study.choices import (
    Choices,
    DataChoices,
    EvaluationChoices,
    TrainChoices,
    choices_text,
    differences,
    read_choices,
)

from xemplar.errors import ConfigurationError

CHOSEN = Choices(
    DataChoices(("/data/röntgen",), ("ward",), ("ward",)),
    train=TrainChoices(True, "guided", ("--epochs", "3")),
    evaluate=EvaluationChoices("ranking", ("test", "box")),
)
DATA = '[data]\nfolders = ["a"]\nsources = ["a"]\npatients = ["a"]\n'


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(choices_text(CHOSEN))
    assert read_choices(file) == CHOSEN


def test_entries_that_differ_are_named() -> None:
    other = replace(CHOSEN, train=TrainChoices(False, "guided", ("--epochs", "3")))
    assert differences(CHOSEN, other) == ["train.run"]
    assert differences(CHOSEN, CHOSEN) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "is no TOML"),
        (DATA, "it begins: schema = 1"),
        ("schema = 1\n", "lacks data.folders"),
        (f"schema = 1\n{DATA}[tarin]\n", r"\[tarin\] is unknown; known here: data, split, train"),
        (f"schema = 1\n{DATA}[train]\nruns = true\n", "train.runs is unknown; known here: run"),
        (f"schema = 1\n{DATA}[train]\nrun = 1\n", "train.run is 1, and should be another kind"),
        (f"schema = 1\n{DATA}[split]\nval = 'x'\n", "split.val is 'x'"),
        (f"schema = 1\n{DATA}[index]\nsplits = 'train'\n", "index.splits is 'train'"),
        (f"schema = 1\n{DATA}[evaluate]\nstudy = 'rank'\n", "evaluate.study is 'rank', none of"),
        ("schema = 1\n" + DATA.replace('["a"]', "[]"), "at least one folder"),
        (
            "schema = 1\n" + DATA.replace('patients = ["a"]', "patients = []"),
            "names 0 of 1 folders",
        ),
        ("schema = 1\ndata = 3\n", r"data must be a section, as \[data\]"),
    ],
)
def test_choices_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_choices(file)
