"""Soft labels by cross-fitting: predictions of networks that never saw an image, nor its patient.

A label mined from a report is often wrong, and never says how certain it is. So the teacher is
fine-tuned several times, each time without a fifth of the patients, and predicts those (cross-
fitting: Chernozhukov et al., 2018). The student then learns from labels and predictions together,
and thereby from ImageNet's weights (knowledge distillation: Hinton et al., 2015).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from xemplar.archive.artefact import write_file
from xemplar.data.datasets import DatasetImage
from xemplar.data.splits import patient_number
from xemplar.errors import ConfigurationError

from .data import TrainingImages
from .distributed import Distributed
from .epoch import Device, Validation, train_epoch
from .initialisation import set_bias_to_prevalence
from .label_weights import label_weights, weights_as_drawn
from .metrics import auc_by_finding, mean_auc
from .mixup import mixer
from .resident import ResidentImages, batches_of
from .sampling import EpochSampler
from .settings import FOLDS, LossWeights, TrainingSettings
from .soft_labels import write_soft_labels
from .student import Student, Trainable, moving_average
from .teacher import EfficientNetLite, pretrained

BATCH, LEARNING_RATE, HEAD_FACTOR, WEIGHT_DECAY = 64, 5e-4, 5.0, 0.05
"""Images in a step, AdamW's rate, factor of that for the linear layer, and weight decay."""

WARMUP_STEPS = 50
"""Steps over which the learning rate rises."""

EMA_DECAY = 0.995
"""Decay of the exponential moving average of the weights."""

SOFT_LABELS, SOFT_LABELS_TABLE = "soft.safetensors", "soft-labels.csv"


class FineTuned(nn.Module):
    """A teacher's convolutions, with a linear layer for the findings."""

    def __init__(self, backbone: EfficientNetLite, findings: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(backbone.channels[-1], findings)
        nn.init.zeros_(self.classifier.weight)

    def levels(self, grey: Tensor) -> list[Tensor]:
        """Maps at strides 8, 16 and 32 of images, float (N, s, s) in [0, 1]."""
        return list(self.backbone(grey))

    def forward(self, grey: Tensor) -> Tensor:
        """Logits (N, F)."""
        logits: Tensor = self.classifier(self.levels(grey)[-1].mean(dim=(2, 3)))
        return logits


def fold_of(record: DatasetImage, repetition: int) -> int:
    """Assigns a fifth of the patients by a hash of the patient, 0 to `FOLDS` - 1.

    Args:
        record: of a training image; one without a patient counts as a patient of its own.
        repetition: of the cross-fitting; each divides the patients differently.
    """
    return patient_number(record, "fold", repetition) % FOLDS


def soft_labels(
    settings: TrainingSettings,
    records: Sequence[DatasetImage],
    device: Device,
    processes: Distributed,
    out: Path,
    console: Console,
    resident: ResidentImages | None = None,
) -> npt.NDArray[np.float32]:
    """Predicts findings of each training image by teachers that were fine-tuned without it.

    Predictions of finished networks are kept in the file `SOFT_LABELS` of the run's folder; a run
    that was killed goes on with the next network. Their means are written to `SOFT_LABELS_TABLE`.

    Args:
        settings: number of networks, and epochs of each.
        records: of the training images, N.
        device: of the networks.
        processes: of the training; the main one does it.
        out: folder of the run.
        console: for progress.
        resident: holds the images; None where they are read from their files.

    Returns:
        Probabilities, float32 (N, F) in [0, 1]: the mean over the networks that did not see the
        image.

    Raises:
        ConfigurationError: there are too few patients.
    """
    file = out / SOFT_LABELS
    if processes.is_main:
        kept: dict[str, npt.NDArray[np.float32]] = {}
        if file.is_file():
            kept = safetensors.numpy.load_file(file)
        for number in range(settings.crossfit):
            if str(number) in kept:
                continue
            held_out = _held_out(records, number)
            logits = _held_out_logits(
                settings, records, held_out, number, device, console, resident
            )
            everywhere = np.full((len(records), len(settings.findings)), np.nan, np.float32)
            everywhere[sorted(held_out)] = logits
            kept[str(number)] = everywhere
            write_file(file, safetensors.numpy.save(kept))
    processes.barrier()
    every = safetensors.numpy.load_file(file)
    logits = np.stack([every[str(number)] for number in range(settings.crossfit)])
    probabilities: npt.NDArray[np.float32] = np.nanmean(1 / (1 + np.exp(-logits)), axis=0)
    if processes.is_main:
        write_soft_labels(out / SOFT_LABELS_TABLE, records, settings.findings, probabilities)
    return probabilities


def _held_out(records: Sequence[DatasetImage], number: int) -> frozenset[int]:
    """Selects the images that a network is trained without, by index."""
    held_out = frozenset(
        index
        for index, record in enumerate(records)
        if fold_of(record, number // FOLDS) == number % FOLDS
    )
    if not 0 < len(held_out) < len(records):
        raise ConfigurationError(
            f"{len(records)} training images have too few patients to leave out a fifth of them; "
            "take more images, or no soft labels (--crossfit 0 --soft-label-weight 0)"
        )
    return held_out


def _held_out_logits(
    settings: TrainingSettings,
    records: Sequence[DatasetImage],
    held_out: frozenset[int],
    number: int,
    device: Device,
    console: Console,
    resident: ResidentImages | None,
) -> npt.NDArray[np.float32]:
    """Trains a network without some images, and returns its logits (n, F) for these."""
    settings = replace(settings, batch_size=BATCH)
    torch.manual_seed(settings.seed + number)
    chosen = [index for index in range(len(records)) if index not in held_out]
    seen, weights = [records[n] for n in chosen], weights_as_drawn(records, settings)[chosen]
    network = FineTuned(pretrained(settings.teacher), len(settings.findings))
    set_bias_to_prevalence(network.classifier, seen, settings.findings, settings.uncertain, weights)
    student = Student(network).to(device.name).to(memory_format=torch.channels_last)
    average = moving_average(network, EMA_DECAY)
    sampler = EpochSampler(records, settings, Distributed())
    sampler.excluded = held_out
    lone = len(sampler) % settings.batch_size == 1  # a last batch of one image has no variance
    images = TrainingImages(
        records, settings, augmented=True, label_weights=label_weights(records, settings)
    )
    loader = batches_of(images, sampler, resident, drop_last=lone)
    optimizer, scheduler = _optimizer(network, len(loader) * settings.crossfit_epochs)

    def on_step() -> None:
        scheduler.step()
        average.update_parameters(network)

    name = f"cross-fitting {number + 1} of {settings.crossfit}"
    for epoch in track(range(settings.crossfit_epochs), name, console=console, transient=True):
        # images of the final size, and augmented as in no epoch of the student's own training
        sampler.epoch = settings.epochs + 1 + number * settings.crossfit_epochs + epoch
        mix = mixer(settings, sampler.epoch, rank=0)
        train_epoch(student, loader, optimizer, device, LossWeights(), mix, on_step)
    unseen = [records[n] for n in sorted(held_out)]
    validation = Validation(unseen, settings, Distributed(), resident)
    outputs = validation.outputs(cast(Trainable, average.module), device, settings.epochs)
    console.print(f"{name}: mean AUC {mean_auc(auc_by_finding(outputs)):.4f} of images not seen")
    return outputs.logits


def _optimizer(network: FineTuned, steps: int) -> tuple[AdamW, LambdaLR]:
    """Builds AdamW with a linear warm-up and a cosine schedule."""
    groups = [
        {"params": network.backbone.parameters(), "lr": LEARNING_RATE},
        {"params": network.classifier.parameters(), "lr": LEARNING_RATE * HEAD_FACTOR},
    ]
    optimizer = AdamW(groups, weight_decay=WEIGHT_DECAY)

    def share(step: int) -> float:
        return (
            min(1.0, (step + 1) / WARMUP_STEPS)
            * (1 + math.cos(math.pi * min(1.0, step / steps)))
            / 2
        )

    return optimizer, LambdaLR(optimizer, share)
