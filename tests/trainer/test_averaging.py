"""The mean of a fine-tuned checkpoint and of the one it began from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner
from xemplar_trainer.averaging import average
from xemplar_trainer.cli import average as command
from xemplar_trainer.recalibration import outputs_on, recalibrate
from xemplar_trainer.run import train

from tests.trainer.drawn import RECIPE, TINY, drawn_set
from xemplar.data.datasets import Dataset
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import Checkpoint, load, save
from xemplar.model.densenet import MEAN, PROJECTION
from xemplar.model.encoder import open_encoder

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def pair(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and one whose training began from it."""
    folder = tmp_path_factory.mktemp("runs")
    settings = replace(RECIPE, epochs=1, projection=4)
    first = train(settings, [dataset], folder / "a", architecture=TINY, console=QUIET)
    settings = replace(settings, initial=str(first), seed=1)
    return first, train(settings, [dataset], folder / "b", architecture=TINY, console=QUIET)


@pytest.fixture(scope="module")
def checkpoints(pair: tuple[Path, Path]) -> tuple[Checkpoint, Checkpoint]:
    return load(pair[0]), load(pair[1])


def test_each_weight_is_the_mean_and_the_rest_is_fitted_to_that_network(
    checkpoints: tuple[Checkpoint, Checkpoint], dataset: Dataset, tmp_path: Path
) -> None:
    initial, later = checkpoints
    card, weights = average(later, initial, [dataset], share=0.25)
    save(tmp_path / "mean.safetensors", card, weights)
    found = load(tmp_path / "mean.safetensors")
    for name in ("classifier.weight", "features.conv0.weight"):
        wanted = 0.25 * later.weights[name] + 0.75 * initial.weights[name]
        # the file holds matrices in float16: 11 bits of mantissa
        np.testing.assert_allclose(found.weights[name], wanted, rtol=2**-10, atol=1e-6)
    images = [image for image in dataset.images if image.split == "val"]
    seen = outputs_on(found, images).mean_activation
    np.testing.assert_allclose(found.weights[MEAN], seen, rtol=0.01, atol=0.01 * seen.max())
    assert found.weights[PROJECTION].shape == (4, TINY.channels)
    assert not np.array_equal(found.weights[PROJECTION], later.weights[PROJECTION])
    assert card.architecture == later.card.architecture
    again = recalibrate(found, [dataset]).calibration
    for one, other in zip(card.calibration, again, strict=True):
        assert one.base_rate == other.base_rate
        assert one.scale == pytest.approx(other.scale, rel=0.05)
    grey = np.zeros((1, 64, 64), np.uint8)
    assert open_encoder(found).encode(grey).embedding.shape == (1, 4)


def test_its_card_tells_of_both_trainings(
    checkpoints: tuple[Checkpoint, Checkpoint], dataset: Dataset
) -> None:
    initial, later = checkpoints
    card, _ = average(later, initial, [dataset])
    assert card.training["averaged"] == {"share": 0.5, "initial": initial.digest}
    assert card.training["membership"] == later.card.training["membership"]
    assert [c.training["seed"] for c in card.trainings()] == [1, 0]
    assert card.metrics.keys() == later.card.metrics.keys()
    assert card.metrics != later.card.metrics


def test_checkpoints_of_separate_trainings_and_other_shares_are_refused(
    checkpoints: tuple[Checkpoint, Checkpoint], dataset: Dataset
) -> None:
    initial, later = checkpoints
    with pytest.raises(ConfigurationError, match=r"began from none, not from .*its --initial"):
        average(initial, later, [dataset])
    with pytest.raises(ConfigurationError, match="share is 1; it must be greater than 0"):
        average(later, initial, [dataset], share=1)


def test_the_command_writes_what_the_function_finds(
    pair: tuple[Path, Path],
    checkpoints: tuple[Checkpoint, Checkpoint],
    dataset: Dataset,
    tmp_path: Path,
) -> None:
    line, out = typer.Typer(), tmp_path / "mean.safetensors"
    line.command()(command)
    first, second = map(str, pair)
    arguments = [second, first, str(dataset.root), "--source", "drawn", "--out", str(out)]
    said = CliRunner().invoke(line, arguments)
    assert said.exit_code == 0, said.output
    assert "Calibrated on 24 validation images of drawn" in said.output
    assert load(out).card == average(checkpoints[1], checkpoints[0], [dataset])[0]
