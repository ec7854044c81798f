"""The projection: what is learnt after the last epoch, and what it leaves alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from xemplar_trainer.data import frontal_images
from xemplar_trainer.epoch import Device
from xemplar_trainer.projection import FEWEST, fit_projection, fully_labelled, project
from xemplar_trainer.run import train

from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.datasets import Dataset
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import load
from xemplar.model.densenet import PROJECTION
from xemplar.model.encoder import open_encoder

QUIET = Console(quiet=True)
PROJECTED = replace(RECIPE, projection=4, epochs=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_set(tmp_path_factory.mktemp("data") / "set")


def agreement(embeddings: torch.Tensor, kinds: torch.Tensor) -> float:
    """Share of images whose nearest other image is of their kind."""
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)
    return float((kinds[nearest] == kinds).float().mean())


def test_images_of_like_findings_become_neighbours_also_where_nothing_was_learnt_from() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(400) % 4
    apart = torch.randn(400, 8, generator=generator)  # channels that say nothing
    apart[:, :2] *= 0.1
    apart[:, :2] += torch.stack([kinds // 2, kinds % 2], 1) - 0.5
    findings = torch.stack([kinds // 2, kinds % 2], 1).float()
    learnt = fit_projection(apart[:200], findings[:200], replace(RECIPE, projection=8))
    assert learnt.shape == (8, 8)
    assert learnt.dtype == torch.float32
    before, after = (agreement(one[200:], kinds[200:]) for one in (apart, apart @ learnt.T))
    assert before < 0.7
    assert after > 0.95


def test_the_same_seed_learns_the_same() -> None:
    apart, findings = torch.randn(20, 6), torch.eye(2).repeat(10, 1)
    settings = replace(RECIPE, projection=3)
    one, again = (fit_projection(apart, findings, settings) for _ in range(2))
    other = fit_projection(apart, findings, replace(settings, seed=1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_training_ends_with_a_projection_and_a_resumed_one_keeps_it(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = train(PROJECTED, [dataset], tmp_path / "run", architecture=TINY, console=QUIET)
    checkpoint, written = load(path), path.read_bytes()
    assert checkpoint.card.architecture == replace(TINY, projection=4)
    assert checkpoint.weights[PROJECTION].shape == (4, TINY.channels)
    images = np.zeros((2, 64, 64), np.uint8)
    assert open_encoder(checkpoint).encode(images).embedding.shape == (2, 4)
    train(PROJECTED, [dataset], tmp_path / "run", architecture=TINY, console=QUIET)
    assert path.read_bytes() == written


def test_nothing_but_the_projection_is_added(dataset: Dataset, tmp_path: Path) -> None:
    without = replace(PROJECTED, projection=0)
    path = train(without, [dataset], tmp_path / "run", architecture=TINY, console=QUIET)
    before = load(path)
    images = frontal_images([dataset], PROJECTED)["train"]
    project(path, images, PROJECTED, Device("cpu", half=False), QUIET)
    after = load(path)
    assert after.weights.keys() - before.weights.keys() == {PROJECTION}
    for name, value in before.weights.items():
        np.testing.assert_array_equal(after.weights[name], value)
    assert after.card == replace(before.card, architecture=after.card.architecture)


def test_a_projection_that_cannot_be_is_refused_before_the_training(
    dataset: Dataset, tmp_path: Path
) -> None:
    too_large = replace(RECIPE, projection=TINY.channels + 1)
    with pytest.raises(ConfigurationError, match=rf"{TINY.channels} channels"):
        train(too_large, [dataset], tmp_path / "run", architecture=TINY, console=QUIET)
    assert not (tmp_path / "run").exists()
    images = frontal_images([dataset], PROJECTED)["train"]
    first = [replace(image, labels={FINDINGS[0]: 1}) for image in images[FEWEST - 1 :]]
    with pytest.raises(ConfigurationError, match="--projection 0"):
        fully_labelled(images[: FEWEST - 1] + first, images, PROJECTED, TINY)
    assert len(fully_labelled(images[:FEWEST] + first, images, PROJECTED, TINY)) == FEWEST
    others = [replace(image, source="another") for image in images]
    assert fully_labelled(images[:FEWEST] + others, images, PROJECTED, TINY) == images[:FEWEST]
