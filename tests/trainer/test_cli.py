"""The command, as a user types it; the training itself is left out."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from xemplar_trainer import run as module
from xemplar_trainer.cli import train
from xemplar_trainer.recipes import recipe
from xemplar_trainer.settings import Augmentation, TrainingSettings

from tests.trainer.drawn import drawn_set
from xemplar.cli.options import fields_of
from xemplar.data.datasets import Dataset
from xemplar.data.splits import PatientSplit
from xemplar.errors import ConfigurationError, DatasetError, UnknownFinding

LINE = typer.Typer()
LINE.command()(train)

Asked = list[tuple[TrainingSettings, Sequence[Dataset]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The trainings that were asked for."""
    trainings: Asked = []
    monkeypatch.setattr(
        module, "train", lambda settings, sets, *_, **__: trainings.append((settings, sets))
    )
    return trainings


def call(*words: object) -> None:
    result = CliRunner().invoke(LINE, [*map(str, words), "--out", "nowhere"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


def folders(root: Path) -> list[Path]:
    """Two data sets in folders of one name."""
    return [drawn_set(root / at / "images", train=2, val=2).root for at in ("north", "south")]


# ---- Options follow from the settings -----------------------------------------------------------


def test_each_setting_is_an_option_that_is_explained_and_shows_its_default() -> None:
    options = {option.name: option for option in typer.main.get_command(LINE).params}
    for model in (TrainingSettings, Augmentation):
        for name, field in fields_of(model).items():
            if name not in ("split", "augmentation"):  # options of their own, and nested settings
                assert field.description
                assert options[name].default is None  # as the recipe has it
                help_ = getattr(options[name], "help", "")
                assert field.description.split("(")[0] in help_.replace("\\", "")
    assert options["sampling_weights"].opts == ["--sampling-weight"]
    assert options["ema_decay"].opts == ["--ema-decay"]
    assert getattr(options["learning_rate"], "show_default", "") == "0.0001"


def test_what_is_typed_changes_the_recipe_and_nothing_else(asked: Asked, tmp_path: Path) -> None:
    folder = folders(tmp_path)[0]
    call(folder, "--recipe", "guided")
    call(
        *(folder, "--recipe", "guided", "--epochs", 90, "--erasing-chance", 0.1),
        *("--sampling-weight", "nih14=0.5", "--sampling-weight", "kermany=2"),
        *("--uncertain", "ignore", "--schedule", "plateau"),
    )
    changed = recipe(
        "guided",
        epochs=90,
        erasing_chance=0.1,
        sampling_weights={"nih14": 0.5, "kermany": 2.0},
        uncertain="ignore",
        schedule="plateau",
    )
    assert [settings for settings, _ in asked] == [recipe("guided"), changed]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--uncertain", "maybe"), "'maybe' is not one of 'positive', 'negative', 'ignore'"),
        (("--schedule", "linear"), "'linear' is not one of 'plateau', 'cosine'"),
        (("--epochs", 0), "greater than or equal to 1"),
        (("--flip", 1.5), "less than or equal to 1"),
        (("--workers", "many"), "valid integer"),
        *(
            (("--sampling-weight", weight), "is not SET=WEIGHT, as kermany=0.3")
            for weight in ("kermany", "kermany=much", "=0.5=")
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    words: tuple[object, ...], message: str, asked: Asked, tmp_path: Path
) -> None:
    arguments = [str(tmp_path), "--out", "nowhere", *map(str, words)]
    result = CliRunner(env={"COLUMNS": "300"}).invoke(LINE, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert asked == []


def test_a_range_without_its_end_is_refused_by_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ema_decay is 1\.0; it must be less than 1"):
        call(folders(tmp_path)[0], "--ema-decay", 1)


def test_a_finding_of_no_vocabulary_and_no_data_set_is_refused(
    asked: Asked, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Mass|Sarcoid\n")
    with pytest.raises(UnknownFinding, match="'Efusion', perhaps Effusion"):
        call(tmp_path, "--findings", "Mass,Efusion", "--unknown-findings", "keep")
    call(tmp_path, "--findings", "mass,SARCOID", "--unknown-findings", "keep")
    assert [settings.findings for settings, _ in asked] == [("Mass", "Sarcoid")]


# ---- Splits and data sets -----------------------------------------------------------------------


def test_patients_are_split_apart_from_the_seed(asked: Asked, tmp_path: Path) -> None:
    folder = folders(tmp_path)[0]
    call(folder, "--seed", 1)
    call(folder, "--split-seed", 2, "--val-share", 0.2, "--test-share", 0.3)
    assert [settings.split for settings, _ in asked] == [PatientSplit(), PatientSplit(2, 0.2, 0.3)]
    with pytest.raises(ConfigurationError, match="less than 1"):
        call(folder, "--val-share", 0.9)


def test_data_sets_in_folders_of_one_name_are_named_apart(asked: Asked, tmp_path: Path) -> None:
    both = folders(tmp_path)
    with pytest.raises(DatasetError, match="would both be called 'images'"):
        call(*both)
    call(*both, "--source", "north", "--source", "south")
    ((_, datasets),) = asked
    assert [dataset.name for dataset in datasets] == ["north", "south"]
    assert {image.source for image in datasets[1].images} == {"south"}
