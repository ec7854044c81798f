"""Mixup of training images and their labels (Zhang et al., ICLR 2018)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .data import Sample
from .settings import TrainingSettings


def mixer(settings: TrainingSettings, epoch: int, rank: int) -> Callable[[Sample], Sample] | None:
    """Returns a function that mixes an epoch's batches, seeded by (seed, epoch, rank).

    Returns:
        None where the settings have no mixup.
    """
    if not settings.mixup:
        return None
    generator = np.random.default_rng((settings.seed, epoch, rank))

    def mix(batch: Sample) -> Sample:
        share = float(generator.beta(settings.mixup, settings.mixup))
        return mixed(batch, share, torch.from_numpy(generator.permutation(len(batch.image))))

    return mix


def mixed(batch: Sample, share: float, order: Tensor) -> Sample:
    """Mixes each image of a batch with another one, and their labels by the same share.

    Args:
        batch: of N images.
        share: of each image; the rest is the other's.
        order: int (N,), index of each image's other.

    Returns:
        A batch of N. What is known of one image only, counts by that image's share.
    """
    order = order.to(batch.image.device, non_blocking=True)

    def blend(part: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the weighted mean of a part and its other, and the mean weight."""
        own, other = share * weight, (1 - share) * weight[order]
        whole = own + other
        ratio = (own / whole.clamp(min=1e-6)).reshape(*own.shape, *[1] * (part.ndim - own.ndim))
        return part[order] + ratio * (part - part[order]), whole

    target, known = blend(batch.target, batch.known)
    location, weight = blend(batch.location, batch.location_weight)
    image = batch.image[order] + share * (batch.image - batch.image[order])
    return Sample(image, target, known, location, weight)
