"""Mixup: learning from two films laid over each other (Zhang et al., ICLR 2018)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .films import Lesson
from .settings import Settings


def mixer(settings: Settings, epoch: int, rank: int) -> Callable[[Lesson], Lesson] | None:
    """What mixes the batches of an epoch, the same whenever it is run; None for no mixing."""
    if not settings.mixup:
        return None
    generator = np.random.default_rng((settings.seed, epoch, rank))

    def mix(lesson: Lesson) -> Lesson:
        share = float(generator.beta(settings.mixup, settings.mixup))
        return mixed(lesson, share, torch.from_numpy(generator.permutation(len(lesson.grey))))

    return mix


def mixed(lesson: Lesson, share: float, order: Tensor) -> Lesson:
    """Lay each film of a batch over another one, and their labels alike.

    Args:
        lesson: of a batch of N.
        share: of each film; that of the other is what is left of 1.
        order: int (N,), the place of each film's other.

    Returns:
        A batch of N. What is known of one film only, counts by that film's share.
    """
    order = order.to(lesson.grey.device)

    def blend(part: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of a part and its other by weight, and that of the weights."""
        own, other = share * weight, (1 - share) * weight[order]
        whole = own + other
        ratio = (own / whole.clamp(min=1e-6)).reshape(*own.shape, *[1] * (part.ndim - own.ndim))
        return part[order] + ratio * (part - part[order]), whole

    target, known = blend(lesson.target, lesson.known)
    where, due = blend(lesson.where, lesson.due)
    grey = lesson.grey[order] + share * (lesson.grey - lesson.grey[order])
    return Lesson(grey, target, known, where, due)
