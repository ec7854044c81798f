"""The command, as a user types it; the training itself is left out."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from xemplar_trainer import run as module
from xemplar_trainer.cli import train
from xemplar_trainer.settings import Settings

from tests.trainer.drawn import drawn_set
from xemplar.datasets import Dataset
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.splits import PatientSplit

LINE = typer.Typer()
LINE.command()(train)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Sequence[Dataset]]]:
    """The trainings that were asked for."""
    trainings: list[tuple[Settings, Sequence[Dataset]]] = []
    monkeypatch.setattr(
        module, "train", lambda settings, sets, *_, **__: trainings.append((settings, sets))
    )
    return trainings


def call(*words: object) -> None:
    result = CliRunner().invoke(LINE, [*map(str, words), "--out", "nowhere"])
    if result.exception:
        raise result.exception


def folders(root: Path) -> list[Path]:
    """Two data sets in folders of one name."""
    return [drawn_set(root / at / "images", train=2, val=2).root for at in ("north", "south")]


def test_patients_are_split_apart_from_the_seed(
    asked: list[tuple[Settings, Sequence[Dataset]]], tmp_path: Path
) -> None:
    folder = folders(tmp_path)[0]
    call(folder, "--seed", 1)
    call(folder, "--split-seed", 2, "--val-share", 0.2, "--test-share", 0.3)
    assert [settings.split for settings, _ in asked] == [PatientSplit(), PatientSplit(2, 0.2, 0.3)]
    with pytest.raises(ConfigurationError, match="less than 1"):
        call(folder, "--val-share", 0.9)


def test_data_sets_in_folders_of_one_name_are_named_apart(
    asked: list[tuple[Settings, Sequence[Dataset]]], tmp_path: Path
) -> None:
    both = folders(tmp_path)
    with pytest.raises(DatasetError, match="would both be called 'images'"):
        call(*both)
    call(*both, "--source", "north", "--source", "south")
    ((_, datasets),) = asked
    assert [dataset.name for dataset in datasets] == ["north", "south"]
    assert {image.source for image in datasets[1].films} == {"south"}
