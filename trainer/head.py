"""Fits the classifier anew on frozen features: what a machine without a GPU can do in minutes.

The convolutions stay as they are, so each augmented copy of an image passes through them once, and
what is left is a logistic regression. It starts from the network's own classifier and is drawn back
to it (L2-SP: Li, Grandvalet & Davoine, ICML 2018): what some thousand images say of 1,664 channels
must not undo what the training learnt. Boxes have a part in it, as the classifier's weights are
those of Grad-CAM, too: without them the maps spread.
"""

from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F

from xemplar.model.pytorch import DenseNetwork

from .epoch import Device
from .losses import evidence_maps, masked_bce, outside_box_loss, outside_mass_loss
from .resident import Loader
from .sampling import EpochSampler
from .settings import TrainingSettings

STEPS = 100
"""Most iterations of L-BFGS."""

LEAST_DEVIATION = 1e-3
"""Least standard deviation by which a channel is divided."""

MOST_MAPS = 6000
"""Most images whose maps are kept for the outside-box loss: 2 GB of DenseNet-169's."""

MASS_SHARE = 0.1
"""Weight of the outside-mass loss, in parts of the outside-box loss's."""


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of N training images from a frozen network; float32, on the CPU.

    Attributes:
        pooled: (N, C), features before the classifier.
        target: (N, F) in [0, 1].
        weight: (N, F) >= 0, of the labels.
        maps: (M, C, g, g), last maps of those images that say where a finding is.
        location: (M, F, g, g), see `trainer.data.Sample`.
        location_weight: (M, F).
    """

    pooled: Tensor
    target: Tensor
    weight: Tensor
    maps: Tensor
    location: Tensor
    location_weight: Tensor


def fit_head(
    network: DenseNetwork,
    loader: Loader,
    sampler: EpochSampler,
    settings: TrainingSettings,
    device: Device,
    progress: Progress,
) -> tuple[float, float]:
    """Fits the network's classifier in place on as many augmented epochs as the settings say.

    Returns:
        (classification loss, accuracy at probability 0.5) of the fitted classifier on them.
    """
    features = frozen_features(network, loader, sampler, settings, device, progress)
    classifier = nn.Linear(features.pooled.shape[1], features.target.shape[1])
    classifier.load_state_dict(network.classifier.state_dict())
    progress.add_task("fitting the classifier", total=None)
    fit_classifier(classifier, features, settings.head_penalty, settings.box_weight)
    network.classifier.load_state_dict(classifier.state_dict())
    return _scores(classifier, features)


@torch.no_grad()
def frozen_features(
    network: DenseNetwork,
    loader: Loader,
    sampler: EpochSampler,
    settings: TrainingSettings,
    device: Device,
    progress: Progress,
) -> FrozenFeatures:
    """Passes augmented training images through the network, whose batch norms stay as they are."""
    network.eval()
    pooled, target, weight = list[Tensor](), list[Tensor](), list[Tensor]()
    maps, location, location_weight = list[Tensor](), list[Tensor](), list[Tensor]()
    kept = 0
    task = progress.add_task("features", total=settings.epochs * len(loader))
    for epoch in range(1, settings.epochs + 1):
        sampler.epoch = epoch
        for batch in loader:
            with device.autocast():
                last = network.maps(batch.image.to(device.name)).float().cpu()
            pooled.append(last.mean(dim=(2, 3)))
            target.append(batch.target.cpu())
            weight.append(batch.known.cpu())
            due = batch.location_weight.cpu()
            if settings.box_weight and kept < MOST_MAPS:
                shows = (due > 0).any(dim=1)
                maps.append(last[shows])
                location.append(batch.location.cpu()[shows])
                location_weight.append(due[shows])
                kept += int(shows.sum())
            progress.advance(task)
    none = last[:0], batch.location.cpu()[:0], batch.location_weight.cpu()[:0]
    return FrozenFeatures(
        torch.cat(pooled),
        torch.cat(target),
        torch.cat(weight),
        *(
            torch.cat([empty, *rows])
            for empty, rows in zip(none, (maps, location, location_weight), strict=True)
        ),
    )


def fit_classifier(
    classifier: nn.Linear, features: FrozenFeatures, penalty: float, box_weight: float
) -> None:
    """Fits a linear layer in place: a logistic regression for each finding.

    Minimises, summed over the findings, the weighted mean of the binary cross-entropy; plus
    ``penalty`` times the squared change of the weights, in units of the channels' standard
    deviations; plus ``box_weight`` times the outside-box and outside-mass losses.

    Args:
        classifier: (F, C), on the CPU; a finding without a label keeps its row.
        features: of the training images.
        penalty: > 0.
        box_weight: >= 0.
    """
    pooled, weight = features.pooled, features.weight
    mean = pooled.mean(dim=0)
    deviation = pooled.std(dim=0).clamp(min=LEAST_DEVIATION)
    inputs = (pooled - mean) / deviation
    before, logits = classifier.weight.detach(), classifier(pooled).detach()
    share = weight / weight.sum(dim=0).clamp(min=1e-9)
    change = torch.zeros_like(before, requires_grad=True)
    offset = torch.zeros_like(classifier.bias, requires_grad=True)
    optimizer = torch.optim.LBFGS([change, offset], max_iter=STEPS, line_search_fn="strong_wolfe")
    with_boxes = box_weight > 0 and len(features.maps) > 0
    if with_boxes:
        scale = float(evidence_maps(before, features.maps).std())

    def closure() -> Tensor:
        optimizer.zero_grad()
        each = F.binary_cross_entropy_with_logits(
            logits + inputs @ change.T + offset, features.target, reduction="none"
        )
        total = (each * share).sum() + penalty * change.square().sum()
        if with_boxes:
            evidence = evidence_maps(before + change / deviation, features.maps)
            where = (features.location, features.location_weight)
            mass = outside_mass_loss(evidence / scale, *where)
            total = total + box_weight * (outside_box_loss(evidence, *where) + MASS_SHARE * mass)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        moved = change / deviation
        classifier.weight.add_(moved)
        classifier.bias.add_(offset - moved @ mean)


@torch.no_grad()
def _scores(classifier: nn.Linear, features: FrozenFeatures) -> tuple[float, float]:
    logits, target, weight = classifier(features.pooled), features.target, features.weight
    right = ((logits > 0) == (target > 0.5)) * weight
    return float(masked_bce(logits, target, weight)), float(right.sum() / weight.sum())
