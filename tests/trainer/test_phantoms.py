"""Phantoms are a data set as any other: labels, splits, patients and boxes to learn from."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from xemplar_trainer.box_supervision import box_supervision_of
from xemplar_trainer.data import frontal_images
from xemplar_trainer.run import train
from xemplar_trainer.settings import TrainingSettings

from tests.trainer.drawn import RECIPE, TINY
from xemplar.data.boxes import read_boxes
from xemplar.data.datasets import Dataset, open_dataset
from xemplar.data.findings import NIH14
from xemplar.data.splits import patient_key
from xemplar.model.checkpoint import load
from xemplar.phantom import write_phantoms

LEARNING = replace(RECIPE, findings=NIH14, epochs=1, box_weight=0.3)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(folder, 60, seed=7, size=64)
    return open_dataset(folder)


def test_boxes_lie_on_the_images_that_are_learnt_from(phantoms: Dataset) -> None:
    images = frontal_images([phantoms], TrainingSettings())["train"]
    boxes = box_supervision_of([phantoms], images, NIH14)
    drawn = {box.file for box in read_boxes(phantoms.root / "boxes.csv")}
    for index, image in enumerate(images):
        present = [name for name in NIH14 if image.labels.get(name) == 1]
        _, which = boxes.masks(index)
        assert (image.file in drawn) == bool(present)
        assert all(which[NIH14.index(name)] for name in present)


def test_a_training_learns_from_phantoms_and_their_boxes(phantoms: Dataset, tmp_path: Path) -> None:
    path = train(
        LEARNING, [phantoms], tmp_path / "run", architecture=TINY, console=Console(quiet=True)
    )
    assert load(path).card.training["datasets"] == {"set": phantoms.digest}


def test_phantoms_of_one_seed_are_one_person_in_two_data_sets(tmp_path: Path) -> None:
    """The patient is the seed: sets whose seeds overlap share an identity domain."""
    sets = []
    for name, seed in (("a", 0), ("b", 5)):
        write_phantoms(tmp_path / name, 10, seed=seed, size=64)
        sets.append(open_dataset(tmp_path / name, patients="phantom"))
    a, b = ({patient_key(image) for image in one.images} for one in sets)
    assert len(a & b) == 5
