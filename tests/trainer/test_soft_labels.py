"""Soft labels from a file: what a cross-fitting wrote, or what somebody else did."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from xemplar_trainer.recipes import recipe
from xemplar_trainer.run import train
from xemplar_trainer.settings import TrainingSettings
from xemplar_trainer.soft_labels import read_soft_labels, write_soft_labels

from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.model.checkpoint import load

QUIET = Console(quiet=True)
HEADER = "dataset,file,Mass,Effusion"


def image(number: int, source: str = "ours") -> DatasetImage:
    labels = {"Mass": 1, "Effusion": 0}
    return DatasetImage(Path(f"{number}.png"), source, file=f"{number}.png", labels=labels)


def table(folder: Path, *rows: str) -> Path:
    (folder / "soft.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder / "soft.csv"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    records = [image(n) for n in range(5)]
    said = np.random.default_rng(0).random((5, 2), np.float32)
    write_soft_labels(tmp_path / "soft.csv", records, FINDINGS, said)
    again = [*reversed(records)]
    read = read_soft_labels(tmp_path / "soft.csv", again, FINDINGS, RECIPE, QUIET)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, said[::-1], atol=6e-7)


def test_a_blank_cell_leaves_the_label_and_rows_of_other_images_are_not_used(
    tmp_path: Path,
) -> None:
    file = table(tmp_path, "ours,1.png,0.25,", "ours,9.png,0.5,0.5")
    assert read_soft_labels(file, [image(1)], FINDINGS, RECIPE, QUIET).tolist() == [[0.25, 0]]


def test_a_data_set_that_the_file_does_not_name_keeps_its_labels_and_is_told(
    tmp_path: Path,
) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    file = table(tmp_path, "ours,1.png,0.25,0.5")
    read = read_soft_labels(file, [image(1), image(1, "theirs")], FINDINGS, RECIPE, console)
    assert read.tolist() == [[0.25, 0.5], [1, 0]]
    assert "does not name theirs: its 1 training images have their labels" in console.export_text()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ours,1.png,0.5,0.5"], r"lacks a row for 2 of 3 training images, the first .* 2\.png of"),
        (["ours,1.png,1.5,0.5", "ours,2.png,x,-1"],
         r"3 value\(s\) are no number from 0 to 1; the first in line 2: Mass is '1\.5'"),
        (["ours,1.png,nan,0.5"], r"1 value\(s\) are no number from 0 to 1; .* Mass is 'nan'"),
        (["ours,1.png,1,0", "ours,1.png,1,0"], r"line 3: '1\.png' of 'ours' has a row already"),
        (["theirs,1.png,1,0"], "names the data sets theirs, and the training has ours"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_with_counts(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_soft_labels(
            table(tmp_path, *rows), [image(n) for n in (1, 2, 3)], FINDINGS, RECIPE, QUIET
        )


def test_a_file_without_a_findings_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "soft.csv").write_text("dataset,file,Mass\nours,1.png,1\n")
    with pytest.raises(DatasetError, match=r"lacks the column\(s\) Effusion"):
        read_soft_labels(tmp_path / "soft.csv", [image(1)], FINDINGS, RECIPE, QUIET)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_soft_labels(tmp_path / "none.csv", [image(1)], FINDINGS, RECIPE, QUIET)


def test_a_file_takes_the_place_of_the_cross_fitting() -> None:
    settings = recipe("guided", soft_labels="soft.csv")
    assert (settings.crossfit, settings.soft_label_weight) == (0, 0.7)
    for wrong in ({"soft_label_weight": 0.0}, {"crossfit": 5}):
        with pytest.raises(
            ConfigurationError, match="soft labels come from a file, or from copies"
        ):
            replace(settings, **wrong)
    with pytest.raises(ConfigurationError, match="or none of them"):
        TrainingSettings(soft_label_weight=0.5)


def test_a_training_learns_from_a_file_and_tells_its_digest(tmp_path: Path) -> None:
    """The file says the contrary of every label, and has the whole weight."""
    dataset = open_dataset(drawn_set(tmp_path / "set", train=48, val=16).root, "drawn")
    train_images = [one for one in dataset.images if one.split == "train"]
    contrary = np.array([[1 - one.labels[f] for f in FINDINGS] for one in train_images])
    write_soft_labels(tmp_path / "soft.csv", train_images, FINDINGS, contrary.astype(np.float32))
    settings = replace(
        RECIPE, soft_labels=str(tmp_path / "soft.csv"), soft_label_weight=1.0, epochs=4
    )
    path = train(settings, [dataset], tmp_path / "run", architecture=TINY, console=QUIET)
    card = load(path).card
    history = [epoch["val_auc"] for epoch in card.training["history"]]
    assert min(history) < 0.3  # against the labels of the validation images
    assert card.training["soft_labels"].startswith("sha256:")
