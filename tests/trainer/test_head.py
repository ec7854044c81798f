"""The classifier alone is fitted on frozen features: minutes without a GPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from xemplar_trainer.head import FrozenFeatures, fit_classifier
from xemplar_trainer.losses import masked_bce, outside_box_loss, outside_mass_loss
from xemplar_trainer.run import train

from tests.trainer.drawn import RECIPE, TINY, drawn_set
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import load
from xemplar.model.densenet import EMBEDDING

QUIET = Console(quiet=True)


def frozen(count: int = 200, channels: int = 6) -> FrozenFeatures:
    """Two findings: channel 0 says the first, channel 1 the second, of which half are unknown."""
    random = torch.Generator().manual_seed(0)
    pooled = torch.randn(count, channels, generator=random)
    target = (pooled[:, :2] > 0).float()
    weight = torch.ones(count, 2)
    weight[::2, 1] = 0
    maps = torch.rand(count, channels, 3, 3, generator=random)
    location = torch.zeros(count, 2, 3, 3)
    location[:, :, 1, 1] = 1
    maps[:, 2, 1, 1] += 3  # the channel whose map points
    return FrozenFeatures(pooled, target, weight, maps, location, torch.ones(count, 2))


def layer() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(6, 2)


def outside(classifier: nn.Linear, features: FrozenFeatures) -> float:
    evidence = torch.einsum("fc,nchw->nfhw", classifier.weight.detach(), features.maps)
    return float(outside_box_loss(evidence, features.location, features.location_weight))


def loss(classifier: nn.Linear, features: FrozenFeatures) -> float:
    logits = classifier(features.pooled).detach()
    return float(masked_bce(logits, features.target, features.weight))


def test_a_fit_lowers_the_loss_the_more_the_smaller_its_penalty() -> None:
    features, losses = frozen(), []
    for penalty in (1e3, 1.0, 0.01):
        fit_classifier(fitted := layer(), features, penalty, box_weight=0)
        losses.append(loss(fitted, features))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < loss(layer(), features)


def test_a_large_penalty_leaves_the_weights() -> None:
    fit_classifier(fitted := layer(), frozen(), 1e6, box_weight=0)
    assert torch.allclose(fitted.weight, layer().weight, atol=1e-4)


def test_a_finding_without_labels_keeps_its_row() -> None:
    features = frozen()
    features.weight[:, 1] = 0
    fit_classifier(fitted := layer(), features, 0.01, box_weight=0)
    assert torch.equal(fitted.weight[1], layer().weight[1])
    assert torch.equal(fitted.bias[1], layer().bias[1])


def test_boxes_draw_the_evidence_inside() -> None:
    features = frozen()
    fit_classifier(without := layer(), features, 0.01, box_weight=0)
    fit_classifier(with_boxes := layer(), features, 0.01, box_weight=1)
    assert outside(with_boxes, features) < 0.5 * outside(without, features)


def test_a_training_of_the_head_leaves_the_convolutions_and_learns(tmp_path: Path) -> None:
    dataset = drawn_set(tmp_path / "set")
    short = replace(RECIPE, epochs=1)
    first = load(train(short, [dataset], tmp_path / "one", architecture=TINY, console=QUIET))
    assert first.path is not None
    settings = replace(
        RECIPE, initial=str(first.path), head_penalty=1e-3, epochs=4, projection=4, box_weight=0
    )
    path = train(settings, [dataset], tmp_path / "two", architecture=TINY, console=QUIET)
    second = load(path)
    for name in first.weights.keys() - {"classifier.weight", "classifier.bias", *EMBEDDING}:
        np.testing.assert_array_equal(second.weights[name], first.weights[name])
    assert second.card.metrics["val_loss"] < first.card.metrics["val_loss"]
    assert second.card.architecture.projection == 4
    digest = second.digest
    train(settings, [dataset], tmp_path / "two", architecture=TINY, console=QUIET)
    assert load(path).digest == digest  # it has ended


@pytest.mark.parametrize(
    "changed",
    [{"initial": "none"}, {"ema_decay": 0.9}, {"small_epochs": 1}, {"mixup": 0.4}],
)
def test_a_head_is_not_fitted_on_random_weights_or_with_what_it_cannot_use(
    changed: dict[str, object],
) -> None:
    with pytest.raises(ConfigurationError, match="head_penalty is 0"):
        replace(RECIPE, **{"initial": "some.safetensors", "head_penalty": 0.001} | changed)  # type: ignore[arg-type]


def test_evidence_outside_a_box_costs_its_share() -> None:
    location = torch.zeros(1, 1, 2, 2)
    location[0, 0, 0, 0] = 1
    inside, outside_ = torch.full((1, 1, 2, 2), -9.0), torch.full((1, 1, 2, 2), -9.0)
    inside[0, 0, 0, 0] = outside_[0, 0, 1, 1] = 9
    weight = torch.ones(1, 1)
    assert float(outside_mass_loss(inside, location, weight)) == pytest.approx(0, abs=1e-6)
    even = outside_mass_loss(torch.ones(1, 1, 2, 2), location, weight)
    assert float(even) == pytest.approx(np.log(4), abs=1e-6)
    assert float(outside_mass_loss(outside_, location, weight)) > 6
    assert float(outside_mass_loss(outside_, location, 0 * weight)) == 0
