"""Fits the classifier anew on frozen features: what a machine without a GPU can do in minutes.

The convolutions stay as they are, so an image's pooled features are computed once for each of its
augmented copies, and what is left is a logistic regression. It starts from the network's own
classifier and is drawn back to it (L2-SP: Li, Grandvalet & Davoine, ICML 2018): what few images
say of 1,664 channels must not undo what the training learnt.
"""

from collections.abc import Iterable

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from xemplar.model.pytorch import DenseNetwork

from .data import Sample
from .epoch import Device

STEPS = 100
"""Most iterations of L-BFGS."""

FLOOR = 1e-3
"""Least standard deviation by which a channel is divided."""


@torch.inference_mode()
def pooled_features(
    network: DenseNetwork, batches: Iterable[Sample], count: int, device: Device, console: Console
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes pooled features of training batches by a frozen network.

    Args:
        network: on the device; its batch norms use their statistics and keep them.
        batches: augmented, as in an epoch.
        count: images in them, for the progress.
        device: of the network.
        console: for progress.

    Returns:
        (features (N, C), targets (N, F), label weights (N, F)), float32 on the CPU.
    """
    network.eval()
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as progress:
        task = progress.add_task("features", total=count)
        for batch in batches:
            with device.autocast():
                maps = network.maps(batch.image.to(device.name))
            row = (maps.float().mean(dim=(2, 3)), batch.target, batch.known)
            for rows, tensor in zip(parts, row, strict=True):
                rows.append(tensor.cpu())
            progress.advance(task, len(batch.image))
    features, target, known = (torch.cat(rows) for rows in parts)
    return features, target, known


def fit_classifier(
    classifier: torch.nn.Linear, features: Tensor, target: Tensor, weight: Tensor, penalty: float
) -> float:
    """Fits a linear layer in place by logistic regression, one for each finding.

    Minimises the weighted mean of the binary cross-entropy plus ``penalty`` times the squared
    change of the layer's weights, in units of the channels' standard deviations.

    Args:
        classifier: (F, C), on the CPU.
        features: float (N, C).
        target: float (N, F) in [0, 1].
        weight: float (N, F) >= 0, of the labels; a finding without any keeps its row.
        penalty: of the change, > 0.

    Returns:
        The mean cross-entropy of the fitted layer.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp(min=FLOOR)
    inputs = (features - mean) / deviation
    with torch.no_grad():
        before = classifier(features)
    share = weight / weight.sum(dim=0).clamp(min=1e-9)
    change = torch.zeros_like(classifier.weight, requires_grad=True)
    offset = torch.zeros_like(classifier.bias, requires_grad=True)

    def loss() -> Tensor:
        logits = before + inputs @ change.T + offset
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (each * share).sum()

    optimizer = torch.optim.LBFGS([change, offset], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss() + penalty * change.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        scaled = change / deviation
        classifier.weight += scaled
        classifier.bias += offset - scaled @ mean
        return float(loss()) / max(1, int((weight.sum(dim=0) > 0).sum()))
