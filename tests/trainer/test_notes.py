"""What the log of a training tells at its start."""

from dataclasses import replace
from pathlib import Path

from xemplar_trainer.notes import notes

from tests.trainer.drawn import RECIPE
from xemplar.data.datasets import DatasetImage


def image(patient: str) -> DatasetImage:
    return DatasetImage(Path("1.png"), "ours", patient=patient)


def test_there_is_nothing_to_note_of_an_ordinary_training() -> None:
    splits = {"train": [image("1")], "val": [image("2")], "test": [image("3")]}
    assert [*notes(splits, RECIPE, {"contradicted": {}}, steps=10)] == []


def test_each_flaw_is_noted() -> None:
    splits = {"train": [image("1")], "val": [image("2")], "box": [image("2"), image("1")]}
    contradicted = {"rsna_class: Normal": {"images": 9, "contradicted": 4, "labels": 5}}
    settings = replace(RECIPE, ema_decay=0.99)
    patients, labels, average = notes(splits, settings, {"contradicted": contradicted}, steps=100)
    assert patients.startswith("2 patients of train or val are in box too")
    assert labels.startswith("4 of 9 training images read as rsna_class: Normal contradict it by 5")
    assert average.startswith("the moving average would reach its decay of 0.99 after 890 steps")
