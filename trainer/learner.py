"""What is trained: the network, and what guides it beside the labels."""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from .films import Lesson
from .settings import Guidance
from .teacher import Teacher


class Trainable(Protocol):
    """A network: maps at several strides, and a linear layer on the pooled last of them."""

    @property
    def classifier(self) -> nn.Linear:
        """Its linear layer."""
        ...

    def levels(self, grey: Tensor) -> list[Tensor]:
        """Maps at strides 8, 16 and 32 of grey films, float (N, s, s) in [0, 1]."""
        ...

    def eval(self) -> object:
        """Into the mode in which it answers."""
        ...


class Learner(nn.Module):
    """The network with its guide; one forward pass serves both.

    Attributes:
        network: what is trained.
    """

    hints: "Hints | None"
    prevalence: Tensor

    def __init__(
        self, network: Trainable, teacher: Teacher | None = None, prevalence: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.hints = None if teacher is None else Hints(teacher, _channels(network))
        # a buffer that is not saved: it follows from the films
        self.register_buffer("prevalence", prevalence, persistent=False)

    def forward(self, lesson: Lesson, guidance: Guidance) -> tuple[Tensor, Tensor]:
        """One pass.

        Args:
            lesson: of a batch.
            guidance: weights.

        Returns:
            (logits (N, F), what to add to the loss of the labels).
        """
        maps = self.network.levels(lesson.grey)
        classifier, pooled = self.network.classifier, maps[-1].mean(dim=(2, 3))
        logits, more = classifier(pooled), lesson.grey.new_zeros(())
        if self.hints is not None and guidance.hint:
            more = more + guidance.hint * self.hints(lesson.grey, maps)
        if guidance.boxes:
            said = torch.einsum("fc,nchw->nfhw", classifier.weight, maps[-1])
            more = more + guidance.boxes * outside(said, lesson.where, lesson.due)
        if guidance.metric:
            whole = lesson.known.amin(dim=1) > 0.99  # only films of which all is known
            like = lesson.target[whole] / self.prevalence.sqrt()
            more = more + guidance.metric * unlike(pooled[whole].float(), like)
        return logits, more


TEMPERATURE = 0.15
"""Of the softmax over likenesses: a cosine that is higher by this is e times as near."""


def unlike(embeddings: Tensor, findings: Tensor) -> Tensor:
    """How far the neighbours of films are from those that their findings would give them.

    For each film, the likeness of all others is made a distribution by a softmax, once from
    embeddings and once from findings; the divergence of the two is the loss (Passalis & Tefas,
    Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018). Likeness is
    the cosine of what departs from the mean of these films, as in a search
    (docs/decisions/0015): what all have in common says nothing of neighbours.

    Args:
        embeddings: float (N, C).
        findings: float (N, F) >= 0, chances of the findings, the rarer the heavier.

    Returns:
        Kullback-Leibler divergence, mean over the films, >= 0; 0 where fewer than three are given,
        for then there is no choice.
    """
    count = len(embeddings)
    if count < 3:
        return embeddings.sum() * 0
    itself = torch.eye(count, dtype=torch.bool, device=embeddings.device)

    def likeness(rows: Tensor) -> Tensor:
        unit = F.normalize(rows - rows.mean(dim=0), dim=1)
        return (unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e4).log_softmax(dim=1)

    found, wanted = likeness(embeddings), likeness(findings)
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)


def outside(said: Tensor, where: Tensor, due: Tensor) -> Tensor:
    """How much of the evidence lies outside its place: -log of the softmax that falls inside.

    The softmax goes over the places of a map, so it does not matter where the map's zero lies: the
    classifier's bias has no part in it.

    Args:
        said: float (N, F, g, g), what each place adds to a logit.
        where: float (N, F, g, g), share of each place that counts as inside, in [0, 1].
        due: float (N, F), weight of each map.

    Returns:
        Mean over the maps that are due, >= 0; 0 where none is.
    """
    shares = said.float().flatten(2).softmax(dim=2)
    inside = (shares * where.flatten(2)).sum(dim=2).clamp(min=1e-4)
    return -(inside.log() * due).sum() / due.sum().clamp(min=1)


class Hints(nn.Module):
    """How far our maps are from those of a teacher (FitNets: Romero et al., ICLR 2015).

    A linear layer at each of three depths predicts the teacher's map from ours, place by place,
    which teaches *where* things are without any label. The deepest is compared pooled, too.
    """

    def __init__(self, teacher: Teacher, channels: Sequence[int]) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list, so that it is neither trained nor saved
        pairs = list(zip(channels, teacher.channels, strict=True))
        self.predict = nn.ModuleList(nn.Conv2d(own, theirs, 1) for own, theirs in pairs)
        # targets of mean 0 and variance 1: then the error is the share that is not explained
        self.scale = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False) for _, theirs in pairs)

    def forward(self, grey: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Mean share of the teacher's variance that our maps do not explain, at all depths.

        Args:
            grey: films, float (N, s, s) in [0, 1].
            maps: ours, as the network's `levels` gives them.
        """
        errors = []
        targets = self._teacher[0].maps(grey)
        for own, target, predict, scale in zip(
            maps, targets, self.predict, self.scale, strict=True
        ):
            wanted = scale(F.adaptive_avg_pool2d(target.float(), own.shape[-1]))
            found = predict(own).float()
            errors.append(F.mse_loss(found, wanted))
        pooled = wanted.mean(dim=(2, 3))
        spread = pooled.var(dim=0, unbiased=False).mean().clamp(min=1e-6)
        errors.append(F.mse_loss(found.mean(dim=(2, 3)), pooled) / spread)
        return torch.stack(errors).mean()


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of the network that follows it: an exponential moving average of its weights.

    Its decay rises from 0.1 to ``decay``, so that the random weights of the beginning are soon
    forgotten.
    """

    def follow(averages: Any, currents: Any, count: Tensor | int) -> None:
        # all tensors of a kind at once: one by one, a GPU waits for a thousand calls each step
        steps = float(count)
        kept = min(decay, (1 + steps) / (10 + steps))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, 1 - kept)
        else:  # how many batches the batch norms have seen
            torch._foreach_copy_(averages, currents)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)


def _channels(network: Trainable) -> list[int]:
    """Of the maps that its `levels` gives."""
    idle = copy.deepcopy(network)  # what a batch norm sees here, it must not learn
    with torch.no_grad():
        return [one.shape[1] for one in idle.levels(torch.zeros(2, 64, 64))]
