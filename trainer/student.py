"""The student: the network that is trained, with the losses that need its feature maps."""

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .data import Sample
from .distributed import Distributed
from .losses import FeatureDistillation, evidence_maps, outside_box_loss, pkt_loss
from .settings import LossWeights
from .teacher import Teacher


class Trainable(Protocol):
    """A network with feature maps at several strides, and a linear layer on the pooled last one."""

    @property
    def classifier(self) -> nn.Linear:
        """Linear layer."""
        ...

    def levels(self, grey: Tensor) -> list[Tensor]:
        """Maps at strides 8, 16 and 32 of images, float (N, s, s) in [0, 1]."""
        ...

    def eval(self) -> object:
        """Switches to inference mode."""
        ...


class Student(nn.Module):
    """Computes logits and additional losses in one forward pass.

    Attributes:
        network: the network that is trained.
        distillation: loss to a teacher's feature maps, if there is a teacher.
        prevalence: float (F,), of the findings among the training images.
    """

    distillation: FeatureDistillation | None
    prevalence: Tensor

    def __init__(
        self,
        network: Trainable,
        teacher: Teacher | None = None,
        prevalence: Tensor | None = None,
        processes: Distributed = Distributed(),
    ) -> None:
        super().__init__()
        self.network = network
        self._processes = processes
        self.distillation = (
            None if teacher is None else FeatureDistillation(teacher, _channels(network))
        )
        # a buffer that is not saved: it follows from the training images
        self.register_buffer("prevalence", prevalence, persistent=False)

    def forward(self, batch: Sample, weights: LossWeights) -> tuple[Tensor, Tensor]:
        """Runs one pass.

        Args:
            batch: of N images.
            weights: of the additional losses.

        Returns:
            (logits (N, F), weighted sum of the additional losses).
        """
        maps = self.network.levels(batch.image)
        classifier, pooled = self.network.classifier, maps[-1].mean(dim=(2, 3))
        logits, loss = classifier(pooled), batch.image.new_zeros(())
        if self.distillation is not None and weights.distillation:
            loss = loss + weights.distillation * self.distillation(batch.image, maps)
        if weights.box:
            evidence = evidence_maps(classifier.weight, maps[-1])
            total = self._processes.mean_sum(batch.location_weight)
            outside = outside_box_loss(evidence, batch.location, batch.location_weight, total)
            loss = loss + weights.box * outside
        if weights.pkt:
            count = len(self.prevalence)  # reader heads, which follow, say nothing of neighbours
            known = batch.known[:, :count].amin(dim=1)
            complete = known > 0  # only images of which all findings are known
            findings = batch.target[complete, :count] / self.prevalence.sqrt()
            near = pkt_loss(pooled[complete].float(), findings, known[complete])
            loss = loss + weights.pkt * near
        return logits, loss


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Copies a network into an exponential moving average (EMA) of its weights.

    The decay rises from 0.1 to ``decay`` (`decay_after`), so that the random weights of the
    beginning are soon forgotten.
    """

    def update(averages: Any, currents: Any, count: Tensor | int) -> None:
        # all tensors of a kind at once: one by one, a GPU waits for a thousand calls each step
        kept = decay_after(float(count), decay)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, 1 - kept)
        else:  # batch norms count their batches
            torch._foreach_copy_(averages, currents)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def decay_after(steps: float, decay: float) -> float:
    """Decay of the moving average after so many steps: it keeps about the last ninth of them."""
    return min(decay, (1 + steps) / (10 + steps))


def average_told(decay: float, steps: int) -> str:
    """Words how far a moving average gets in a training of so many steps; empty if to its decay."""
    reached = decay_after(steps, decay)
    if reached == decay:
        return ""
    return (
        f"the moving average would reach its decay of {decay:g} after "
        f"{(10 * decay - 1) / (1 - decay):,.0f} steps and has {steps:,}: it ends at {reached:.4f}, "
        f"which averages about the last {1 / (1 - reached):,.0f} steps"
    )


def _channels(network: Trainable) -> list[int]:
    """Counts the channels of the maps that `levels` gives."""
    idle = copy.deepcopy(network)  # its batch norms must not learn from zeros
    with torch.no_grad():
        return [one.shape[1] for one in idle.levels(torch.zeros(2, 64, 64))]
