"""Channels weighed by how much they tell films apart: only the embedding's direction changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.drawn import RECIPE, TINY, drawn_set
from trainer.epoch import Device
from trainer.films import frontal_films
from trainer.weighting import STRONGEST, WEIGHTED, channel_weights, scaled, weigh_channels
from xemplar.checkpoint import Card, load, save
from xemplar.explain import grad_cam
from xemplar.network import Weights, features
from xemplar.network.pytorch import DenseNetwork, load_weights, weights_of

CPU = Device("cpu", half=False)


@pytest.fixture
def weights() -> Weights:
    torch.manual_seed(0)
    return weights_of(DenseNetwork(TINY, 2, RECIPE.spec))


def maps_of(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    network = DenseNetwork(TINY, 2, RECIPE.spec)
    load_weights(network, weights)
    films = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = network.eval().maps(films).numpy()
    return maps, weights["classifier.weight"], weights["classifier.bias"]


def test_a_channel_that_is_the_same_on_every_film_counts_least() -> None:
    films = np.random.default_rng(0).uniform(0, 1, (200, 3)).astype(np.float32)
    films[:, 0] = 5  # the same on all
    films[:, 1] += 10  # as different as the last, on a large base
    same, based, free = channel_weights([films])
    assert same == pytest.approx(1 / STRONGEST)
    assert based == pytest.approx(1)  # the median
    assert free == pytest.approx(STRONGEST)


def test_a_difference_between_data_sets_is_no_difference_between_films() -> None:
    generator = np.random.default_rng(0)
    adults, children = generator.uniform(1, 2, (2, 300, 3)).astype(np.float32)
    adults[:, 0] = 1
    children[:, 0] = 2  # tells the data sets apart, and nothing within them
    assert channel_weights([adults, children])[0] == pytest.approx(1 / STRONGEST)


def test_a_channel_that_is_never_active_does_no_harm() -> None:
    films = np.random.default_rng(0).uniform(1, 2, (50, 4)).astype(np.float32)
    films[:, 2] = 0
    assert np.isfinite(channel_weights([films])).all()


def test_logits_and_grad_cam_stay_and_maps_are_multiplied(weights: Weights) -> None:
    by = np.random.default_rng(0).uniform(0.1, 10, len(weights["features.norm5.bias"]))
    maps, classifier, bias = maps_of(weights)
    changed, other, _ = maps_of(scaled(weights, by.astype(np.float32)))
    np.testing.assert_allclose(changed, maps * by[:, None, None], rtol=1e-4, atol=1e-5)
    before, after = features(maps, classifier, bias), features(changed, other, bias)
    np.testing.assert_allclose(after.logits, before.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        grad_cam(after, other), grad_cam(before, classifier), rtol=1e-3, atol=1e-6
    )
    assert not np.allclose(after.embedding, before.embedding, atol=1e-3)


def test_a_checkpoint_is_weighed_once_and_says_on_what(weights: Weights, tmp_path: Path) -> None:
    films = frontal_films([drawn_set(tmp_path / "set")], RECIPE)["train"]
    path = tmp_path / "checkpoint.safetensors"
    before = save(path, Card(RECIPE.findings, RECIPE.spec, TINY), weights)
    weigh_channels(path, films, replace(RECIPE, weigh=10), CPU)
    once = load(path)
    assert once.digest != before
    assert once.card.training[WEIGHTED] == {"drawn": 10}
    weigh_channels(path, films, replace(RECIPE, weigh=10), CPU)
    assert load(path).digest == once.digest
