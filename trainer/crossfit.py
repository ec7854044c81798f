"""Soft labels: what networks that never saw a film, nor its patient, say of it.

A label mined from a report is often wrong, and it never says how sure it is. So the teacher is
fine-tuned several times, each time without a fifth of the patients, and asked about those (cross-
fitting: Chernozhukov et al., 2018). Our network then learns from labels and answers together, and
thereby from ImageNet's weights (knowledge distillation: Hinton et al., 2015).
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

from xemplar.artefact import write_file
from xemplar.datasets import Film
from xemplar.errors import ConfigurationError
from xemplar.splits import patient_number

from .epoch import Device, Validation, train_epoch
from .films import EpochOrder, FilmTensors, batches
from .initial import begin_at_prevalence
from .learner import Learner, Trainable, averaged
from .metrics import auc_by_finding, mean_auc
from .mixup import mixer
from .settings import FOLDS, Guidance, Settings
from .teacher import EfficientNetLite, pretrained
from .world import World

BATCH, RATE, HEAD, DECAY = 64, 5e-4, 5.0, 0.05
"""Films in a step, learning rate, how much faster the linear layer goes, and weight decay."""

WARM = 50
"""Steps over which the learning rate rises."""

AVERAGE = 0.995
"""Decay of the moving average of the weights."""

SOFT = "soft.safetensors"


class Tuned(nn.Module):
    """A teacher's convolutions, with a linear layer for our findings."""

    def __init__(self, backbone: EfficientNetLite, findings: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(backbone.channels[-1], findings)
        nn.init.zeros_(self.classifier.weight)

    def levels(self, grey: Tensor) -> list[Tensor]:
        """Maps at strides 8, 16 and 32 of grey films, float (N, s, s) in [0, 1]."""
        return list(self.backbone(grey))

    def forward(self, grey: Tensor) -> Tensor:
        """Logits (N, F)."""
        logits: Tensor = self.classifier(self.levels(grey)[-1].mean(dim=(2, 3)))
        return logits


def fold_of(film: Film, part: int) -> int:
    """Which fifth of the patients a film belongs to, by a hash of its patient.

    Args:
        film: of the training; one without a patient counts as a patient of its own.
        part: which of several ways to part the patients.
    """
    return patient_number(film, "fold", part) % FOLDS


def soft_labels(
    settings: Settings,
    films: Sequence[Film],
    device: Device,
    world: World,
    out: Path,
    console: Console,
) -> npt.NDArray[np.float32]:
    """What the fine-tuned teachers say of the films that they did not see.

    What a network that is done said lies in the file `SOFT` of the run's folder; a run that was
    killed goes on with the next one.

    Args:
        settings: how many networks, and how long each is trained.
        films: of the training.
        device: where to.
        world: the processes of the training; the first one does it.
        out: folder of the run.
        console: where progress goes.

    Returns:
        Probabilities, float32 (N, F) in [0, 1]: the mean over those networks that did not see
        the film.

    Raises:
        ConfigurationError: there are too few patients.
    """
    file = out / SOFT
    if world.first:
        said: dict[str, npt.NDArray[np.float32]] = {}
        if file.is_file():
            said = safetensors.numpy.load_file(file)
        for number in range(settings.crossfit):
            if str(number) in said:
                continue
            left_out = [
                place
                for place, film in enumerate(films)
                if fold_of(film, number // FOLDS) == number % FOLDS
            ]
            if not 0 < len(left_out) < len(films):
                raise ConfigurationError(
                    f"{len(films)} training films have too few patients to leave out a fifth of "
                    "them; take more films, or no soft labels (--crossfit 0 --soft 0)"
                )
            logits = _answers(settings, films, frozenset(left_out), number, device, console)
            everywhere = np.full((len(films), len(settings.findings)), np.nan, np.float32)
            everywhere[left_out] = logits
            said[str(number)] = everywhere
            write_file(file, safetensors.numpy.save(said))
    world.wait()
    every = safetensors.numpy.load_file(file)
    odds = np.stack([every[str(number)] for number in range(settings.crossfit)])
    chances: npt.NDArray[np.float32] = np.nanmean(1 / (1 + np.exp(-odds)), axis=0)
    return chances


def _answers(
    settings: Settings,
    films: Sequence[Film],
    left_out: frozenset[int],
    number: int,
    device: Device,
    console: Console,
) -> npt.NDArray[np.float32]:
    """Logits (n, F) of a network for the films that it is trained without."""
    settings = replace(settings, batch=BATCH)
    torch.manual_seed(settings.seed + number)
    seen = [film for place, film in enumerate(films) if place not in left_out]
    network = Tuned(pretrained(settings.teacher), len(settings.findings))
    begin_at_prevalence(network.classifier, seen, settings.findings, settings.uncertain)
    learner = Learner(network).to(device.name).to(memory_format=torch.channels_last)
    average = averaged(network, AVERAGE)
    order = EpochOrder(films, settings, rank=0, world=1)
    order.without = left_out
    lone = len(order) % settings.batch == 1  # a last batch of one film has no variance
    loader = batches(FilmTensors(films, settings, augmented=True), order, drop_last=lone)
    optimizer, scheduler = _optimizer(network, len(loader) * settings.crossfit_epochs)

    def advance() -> None:
        scheduler.step()
        average.update_parameters(network)

    name = f"cross-fitting {number + 1} of {settings.crossfit}"
    for epoch in track(range(settings.crossfit_epochs), name, console=console, transient=True):
        # films as large as they are at the end, and moved as in no epoch of the network itself
        order.epoch = settings.epochs + 1 + number * settings.crossfit_epochs + epoch
        mixing = mixer(settings, order.epoch, rank=0)
        train_epoch(learner, loader, optimizer, device, Guidance(), mixing, advance)
    asked = [films[place] for place in sorted(left_out)]
    asking = Validation(asked, settings, World())
    outputs = asking.outputs(cast(Trainable, average.module), device, settings.epochs)
    console.print(f"{name}: mean AUC {mean_auc(auc_by_finding(outputs)):.4f} of films not seen")
    return outputs.logits


def _optimizer(network: Tuned, steps: int) -> tuple[AdamW, LambdaLR]:
    """AdamW, with a rate that rises and falls as a cosine."""
    groups = [
        {"params": network.backbone.parameters(), "lr": RATE},
        {"params": network.classifier.parameters(), "lr": RATE * HEAD},
    ]
    optimizer = AdamW(groups, weight_decay=DECAY)

    def share(step: int) -> float:
        return min(1.0, (step + 1) / WARM) * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2

    return optimizer, LambdaLR(optimizer, share)
