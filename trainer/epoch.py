"""One pass over the training films, and one over the validation films."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from trainer.films import FilmTensors, Lesson, batches
from trainer.metrics import Outputs
from trainer.settings import Settings
from trainer.world import World
from xemplar.datasets import Film
from xemplar.errors import ConfigurationError
from xemplar.network.pytorch import DenseNetwork


@dataclass(frozen=True)
class Device:
    """Where the network runs, and in which arithmetic.

    Attributes:
        name: as PyTorch writes it, such as "cpu" or "cuda:0".
        half: whether convolutions run in bfloat16 autocast.
    """

    name: str
    half: bool

    @classmethod
    def choose(cls, settings: Settings, world: World) -> "Device":
        """The device and arithmetic that settings and machine allow.

        Raises:
            ConfigurationError: a GPU is asked for and there is none.
        """
        cuda = torch.cuda.is_available()
        if settings.device not in ("auto", "cpu", "cuda"):
            raise ConfigurationError(f"device {settings.device!r} is none of auto, cpu, cuda")
        if settings.device == "cuda" and not cuda:
            raise ConfigurationError("device 'cuda' is asked for, and PyTorch sees no GPU")
        name = f"cuda:{world.local}" if cuda and settings.device != "cpu" else "cpu"
        native = torch.cuda.is_bf16_supported() if name != "cpu" else _processor_has_bfloat16()
        return cls(
            name, settings.precision == "bfloat16" or (settings.precision == "auto" and native)
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 where chosen."""
        return torch.autocast(self.name.split(":")[0], torch.bfloat16, enabled=self.half)

    def __str__(self) -> str:
        return f"{self.name}, {'bfloat16 autocast' if self.half else 'float32'}, channels last"


def _processor_has_bfloat16() -> bool:
    """Where it has not, bfloat16 is emulated and slower than float32 (docs/decisions/0005)."""
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def masked_bce(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy with logits, mean over the known labels; all (N, F)."""
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def train_epoch(
    learner: nn.Module,
    loader: DataLoader[Lesson],
    optimizer: Optimizer,
    device: Device,
    guidance: tuple[float, float],
    advance: Callable[[], None],
) -> tuple[float, float]:
    """Take one optimizer step per batch.

    Args:
        learner: see `trainer.learner.Learner`.
        loader: of lessons.
        optimizer: of the learner.
        device: where to.
        guidance: weights of the teacher and of the boxes.
        advance: called after each step.

    Returns:
        (loss of the labels, accuracy at probability 0.5), means over the known labels of all
        batches.

    Raises:
        ConfigurationError: the loss is no number any more.
    """
    learner.train()
    loss_sum = right = labels = 0.0
    for lesson in loader:
        grey, target, known, where, taught = (part.to(device.name) for part in lesson)
        with device.autocast():
            outputs, more = learner(grey, where, target * known * taught, *guidance)
        logits = outputs.float()
        loss = masked_bce(logits, target, known)
        total = loss + more
        if not torch.isfinite(total):
            raise ConfigurationError(
                "the loss is no number any more; try a lower --learning-rate or --precision float32"
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        count = float(known.sum())
        loss_sum += float(loss.detach()) * count
        right += float((((logits > 0) == (target > 0)) * known).sum())
        labels += count
        advance()
    return loss_sum / labels, right / labels


@torch.inference_mode()
def validate(
    network: DenseNetwork,
    films: Sequence[Film],
    settings: Settings,
    device: Device,
    world: World,
    epoch: int,
) -> Outputs:
    """The network's outputs on all films, in their order, shared between the processes.

    The films are as large as those of the epoch.
    """
    network.eval()
    tensors = FilmTensors(films, settings)
    # all processes take the same number of films; what is too many is cut off below
    each = -(-len(films) // world.size)
    own = [(epoch, (n * world.size + world.rank) % len(films)) for n in range(each)]
    parts: list[list[np.ndarray]] = [[], [], []]
    for grey, target, known, _, _ in batches(tensors, own):
        with device.autocast():
            outputs = network(grey.to(device.name)).float().cpu()
        for rows, tensor in zip(parts, (outputs, target, known), strict=True):
            rows.append(tensor.numpy())
    logits, target, known = (world.gather(np.concatenate(rows))[: len(films)] for rows in parts)
    return Outputs(logits, target, known, [film.source for film in films], settings.findings)
