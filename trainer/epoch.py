"""One pass over the training images, and one over the validation images."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError

from .data import Sample, TrainingImages
from .device_memory import exhaustion_explained
from .distributed import Distributed
from .losses import masked_bce
from .metrics import Outputs, best_labelled
from .resident import Loader, ResidentImages, batches_of
from .sampling import SequentialSampler
from .settings import LossWeights, TrainingSettings
from .student import Trainable

Mix = Callable[[Sample], Sample]

CHECKED_EVERY = 20
"""Steps between two looks at the loss: a GPU is waited for each time."""


@dataclass(frozen=True)
class Device:
    """Device and arithmetic of a network.

    Attributes:
        name: as PyTorch writes it, such as "cpu" or "cuda:0".
        half: True for convolutions in bfloat16 autocast.
    """

    name: str
    half: bool

    @classmethod
    def choose(cls, settings: TrainingSettings, processes: Distributed) -> "Device":
        """Chooses by settings and machine.

        Raises:
            ConfigurationError: a GPU is asked for and there is none.
        """
        cuda = torch.cuda.is_available()
        if settings.device == "cuda" and not cuda:
            raise ConfigurationError("device 'cuda' is asked for, and PyTorch sees no GPU")
        name = f"cuda:{processes.local_rank}" if cuda and settings.device != "cpu" else "cpu"
        native = torch.cuda.is_bf16_supported() if name != "cpu" else _processor_has_bfloat16()
        return cls(
            name, settings.precision == "bfloat16" or (settings.precision == "auto" and native)
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Enables bfloat16 where chosen."""
        return torch.autocast(self.name.split(":")[0], torch.bfloat16, enabled=self.half)

    def __str__(self) -> str:
        return f"{self.name}, {'bfloat16 autocast' if self.half else 'float32'}, channels last"


def _processor_has_bfloat16() -> bool:
    """Detects native bfloat16; emulated, it is slower than float32 (docs/decisions/0005)."""
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def train_epoch(
    student: nn.Module,
    loader: Loader,
    optimizer: Optimizer,
    device: Device,
    weights: LossWeights,
    mix: Mix | None,
    on_step: Callable[[], None],
    processes: Distributed = Distributed(),
) -> tuple[float, float]:
    """Takes one optimizer step per batch.

    Args:
        student: see `trainer.student.Student`.
        loader: of batches.
        optimizer: of the student.
        device: of the student.
        weights: of the losses beside the classification loss.
        mix: mixes the images of a batch; None leaves them as they are.
        on_step: called after each step.
        processes: that train one network together.

    Returns:
        (classification loss, accuracy at probability 0.5), means over the known labels of all
        batches.

    Raises:
        ConfigurationError: the loss is not finite any more, or the device's memory is too small.
    """
    student.train()
    # read seldom: a GPU would be waited for each time
    sums = torch.zeros(4, dtype=torch.float64, device=device.name)
    with exhaustion_explained(loader, student, optimizer):
        for step, loaded in enumerate(loader, start=1):
            batch = Sample(*(part.to(device.name, non_blocking=True) for part in loaded))
            if mix is not None:
                batch = mix(batch)
            with device.autocast():
                outputs, additional = student(batch, weights)
            logits, target, known = outputs.float(), batch.target, batch.known
            count = processes.mean_sum(known)
            loss = masked_bce(logits, target, known, count)
            total = loss + additional
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            right = (((logits > 0) == (target > 0.5)) * known).sum()
            parts = [loss.detach() * count, right, count, total.detach()]
            sums += torch.stack(parts).double()
            on_step()
            if step % CHECKED_EVERY == 0:
                _check_finite(sums)
        _check_finite(sums)
    loss_sum, right_sum, labels, _ = sums.tolist()
    return loss_sum / labels, right_sum / labels


def _check_finite(sums: Tensor) -> None:
    """Refuses to go on after a loss that was not finite: the sum is not, either, from then on."""
    if not torch.isfinite(sums).all():
        raise ConfigurationError(
            "the loss is no number any more; try a lower --learning-rate or --precision float32"
        )


class Validation:
    """Runs a network on the same images after each epoch; the same workers read them.

    Args:
        records: of the images, N.
        settings: of the training.
        processes: that share the images.
        resident: holds the images; None where they are read from their files.
    """

    def __init__(
        self,
        records: Sequence[DatasetImage],
        settings: TrainingSettings,
        processes: Distributed,
        resident: ResidentImages | None = None,
    ) -> None:
        self._records = records
        self._settings = settings
        self._processes = processes
        self._sampler = SequentialSampler(len(records), processes)
        source = best_labelled(records, settings.findings, settings.uncertain)
        size, rank = processes.world_size, processes.rank
        self._counts = torch.tensor(
            [
                float(records[index].source == source and turn * size + rank < len(records))
                for turn, (_, index) in enumerate(self._sampler)
            ]
        )
        self._of_source = sum(record.source == source for record in records)
        self._loader = batches_of(TrainingImages(records, settings), self._sampler, resident)

    @torch.inference_mode()
    def outputs(self, network: Trainable, device: Device, epoch: int) -> Outputs:
        """Computes a network's outputs on all images, in order, at the input size of the epoch."""
        network.eval()
        self._sampler.epoch = epoch
        parts: list[list[Tensor]] = [[], [], []]
        total, done = torch.zeros((), device=device.name), 0
        counted = self._counts.to(device.name)
        with exhaustion_explained(self._loader, network):
            for image, target, known, _, _ in self._loader:
                with device.autocast():
                    maps = network.levels(image.to(device.name))[-1].float()
                outputs = (network.classifier(maps.mean(dim=(2, 3))), target, known)
                for rows, tensor in zip(parts, outputs, strict=True):
                    rows.append(tensor)
                counts = counted[done : done + len(image)]
                total = total + torch.einsum("n,nchw->chw", counts, maps)
                done += len(image)
        logits, target, known = (
            self._processes.gather(torch.cat(rows).cpu().numpy())[: len(self._records)]
            for rows in parts
        )
        summed = self._processes.gather(total.cpu().numpy()[None]).sum(axis=0)
        sources = [record.source for record in self._records]
        return Outputs(
            logits, target, known, sources, self._settings.findings, summed / self._of_source
        )
