"""One pass over the training films, and one over the validation films."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Sampler

from xemplar.datasets import Film
from xemplar.errors import ConfigurationError
from xemplar.findings import targets

from .films import FilmTensors, Lesson, batches
from .learner import Trainable
from .metrics import Outputs
from .settings import Guidance, Settings
from .world import World

Mixing = Callable[[Lesson], Lesson]


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
    guidance: Guidance,
    mixing: Mixing | None,
    advance: Callable[[], None],
) -> tuple[float, float]:
    """Take one optimizer step per batch.

    Args:
        learner: see `trainer.learner.Learner`.
        loader: of lessons.
        optimizer: of the learner.
        device: where to.
        guidance: weights of what guides it beside the labels.
        mixing: lays films over each other; None leaves them as they are.
        advance: called after each step.

    Returns:
        (loss of the labels, accuracy at probability 0.5), means over the known labels of all
        batches.

    Raises:
        ConfigurationError: the loss is no number any more.
    """
    learner.train()
    # read once: a GPU would be waited for each time
    sums = torch.zeros(3, dtype=torch.float64, device=device.name)
    for lesson in loader:
        here = Lesson(*(part.to(device.name, non_blocking=True) for part in lesson))
        if mixing is not None:
            here = mixing(here)
        with device.autocast():
            outputs, more = learner(here, guidance)
        logits, target, known = outputs.float(), here.target, here.known
        loss = masked_bce(logits, target, known)
        total = loss + more
        if not torch.isfinite(total):
            raise ConfigurationError(
                "the loss is no number any more; try a lower --learning-rate or --precision float32"
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        right = (((logits > 0) == (target > 0.5)) * known).sum()
        count = known.sum()
        sums += torch.stack([loss.detach() * count, right, count]).double()
        advance()
    loss_sum, right_sum, labels = sums.tolist()
    return loss_sum / labels, right_sum / labels


class InOrder(Sampler[tuple[int, int]]):
    """All films in their order; with several processes each takes every world-th one.

    All processes take the same number of films; what is too many is cut off later.

    Attributes:
        epoch: the next one.
    """

    def __init__(self, films: int, world: World) -> None:
        self.films = films
        self.world = world
        self.epoch = 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        size, rank = self.world.size, self.world.rank
        return ((self.epoch, (n * size + rank) % self.films) for n in range(len(self)))

    def __len__(self) -> int:
        return -(-self.films // self.world.size)


def _best_known(films: Sequence[Film], settings: Settings) -> str:
    """The data set of which most labels are known; see `trainer.metrics.Outputs.usual`."""
    known: dict[str, float] = {}
    for film in films:
        labels = targets(film.labels, settings.findings, settings.uncertain)[1]
        known[film.source] = known.get(film.source, 0) + float(labels.sum())
    return max(known, key=lambda name: known[name])


class Validation:
    """Films that a network is asked about, again and again; the same workers read them."""

    def __init__(self, films: Sequence[Film], settings: Settings, world: World) -> None:
        self._films = films
        self._settings = settings
        self._world = world
        self._order = InOrder(len(films), world)
        source = _best_known(films, settings)
        self._counts = torch.tensor(
            [
                float(films[place].source == source and turn * world.size + world.rank < len(films))
                for turn, (_, place) in enumerate(self._order)
            ]
        )
        self._usual = sum(film.source == source for film in films)
        self._loader = batches(FilmTensors(films, settings), self._order)

    @torch.inference_mode()
    def outputs(self, network: Trainable, device: Device, epoch: int) -> Outputs:
        """The network's outputs on all films, in their order, shared between the processes.

        The films are as large as those of the epoch.
        """
        network.eval()
        self._order.epoch = epoch
        parts: list[list[np.ndarray]] = [[], [], []]
        total, done = torch.zeros(()), 0
        for grey, target, known, _, _ in self._loader:
            with device.autocast():
                maps = network.levels(grey.to(device.name))[-1].float()
            outputs = (network.classifier(maps.mean(dim=(2, 3))), target, known)
            for rows, tensor in zip(parts, outputs, strict=True):
                rows.append(tensor.cpu().numpy())
            counts = self._counts[done : done + len(grey)].to(maps)
            total = total.to(maps) + torch.einsum("n,nchw->chw", counts, maps)
            done += len(grey)
        logits, target, known = (
            self._world.gather(np.concatenate(rows))[: len(self._films)] for rows in parts
        )
        usual = self._world.gather(total.cpu().numpy()[None]).sum(axis=0) / self._usual
        sources = [film.source for film in self._films]
        return Outputs(logits, target, known, sources, self._settings.findings, usual)
