"""A finished checkpoint's probabilities fitted anew: weights stay, the population is one set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner
from xemplar_trainer.calibration import calibrate
from xemplar_trainer.cli import recalibrate as command
from xemplar_trainer.recalibration import recalibrate, validation_images

from tests.images import seeded_weights
from tests.trainer.drawn import FINDINGS, TINY, drawn_set
from xemplar.data.datasets import Dataset
from xemplar.errors import DatasetError
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint, load, save


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "old.safetensors"
    save(path, Card(FINDINGS, PreprocessSpec(64), TINY), seeded_weights(TINY, len(FINDINGS)))
    return path


@pytest.fixture(scope="module")
def checkpoint(file: Path) -> Checkpoint:
    return load(file)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_set(tmp_path_factory.mktemp("drawn"))


def test_a_checkpoint_without_base_rates_gets_those_of_the_labels(
    checkpoint: Checkpoint, dataset: Dataset
) -> None:
    card = recalibrate(checkpoint, [dataset])
    assert card.population is not None
    population = card.population
    assert (population.source, population.images, population.labelled) == ("drawn", 24, 72)
    assert population.ill == 0.75  # none, one, the other, or both in turn
    assert [one.base_rate for one in card.calibration] == [0.5, 0.5]
    assert [one.val_positives for one in card.calibration] == [12, 12]
    found = replace(checkpoint, card=card)
    logits = validation_images(checkpoint, [dataset]).outputs.logits
    np.testing.assert_allclose(found.probabilities(logits).mean(axis=0), [0.5, 0.5], atol=1e-4)


def test_a_smaller_data_set_beside_it_changes_nothing(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    other = drawn_set(tmp_path / "other", train=8, val=4)
    children = replace(
        other, name="children", images=[replace(i, source="children") for i in other.images]
    )
    done: list[tuple[int, int]] = []
    both = recalibrate(checkpoint, [children, dataset], lambda *now: done.append(now))
    assert both == recalibrate(checkpoint, [dataset])
    assert done == [(16, 24), (24, 24)]  # its images are not even read


def test_what_the_training_would_have_fitted_is_fitted(
    checkpoint: Checkpoint, dataset: Dataset
) -> None:
    seen = validation_images(checkpoint, [dataset])
    assert [image.split for image in seen.images] == ["val"] * 24
    card = recalibrate(checkpoint, [dataset])
    assert (card.calibration, card.population) == calibrate(seen.outputs, seen.counts)


@pytest.mark.parametrize("fault", ["no validation image", "an image that is none"])
def test_what_cannot_be_used_is_refused(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, fault: str
) -> None:
    if fault == "no validation image":
        images = [image for image in dataset.images if image.split == "train"]
        message = "no frontal image in the split 'val' with a known label of Mass, Effusion"
    else:
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        images = [replace(image, path=broken) for image in dataset.images]
        message = r"the image .*broken\.png cannot be used"
    with pytest.raises(DatasetError, match=message):
        recalibrate(checkpoint, [replace(dataset, images=images)])


def test_the_command_writes_a_checkpoint_with_the_same_weights_and_shows_the_base_rates(
    file: Path, checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    line, out = typer.Typer(), tmp_path / "new.safetensors"
    line.command()(command)
    said = CliRunner().invoke(
        line, [str(file), str(dataset.root), "--source", "drawn", "--out", str(out)]
    )
    assert said.exit_code == 0, said.output
    assert "Calibrated on 24 validation images of drawn" in said.output
    new = load(out)
    assert new.card == recalibrate(checkpoint, [dataset])
    assert new.weights.keys() == checkpoint.weights.keys()
    for name, weights in checkpoint.weights.items():
        np.testing.assert_array_equal(new.weights[name], weights)
