"""A training from settings and data sets to a checkpoint; killed at any moment, it resumes.

The folder of a run: ``checkpoint.safetensors`` (the best epoch), ``state.safetensors`` (to
resume from), ``epochs.csv``, ``loss.png``, ``roc.png``, ``settings.json``, ``tensorboard/``.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from xemplar.artefact import write_file
from xemplar.checkpoint import Card, save
from xemplar.datasets import TRAIN, VAL, Dataset, Film
from xemplar.errors import ConfigurationError
from xemplar.network import MEAN, Architecture
from xemplar.network.pytorch import DenseNetwork, weights_of
from xemplar.splits import learnt_digest, who
from xemplar.terminal import plain

from . import report
from .calibrate import calibrate
from .crossfit import soft_labels
from .epoch import Device, Validation, train_epoch
from .films import (
    EpochOrder,
    FilmTensors,
    Lesson,
    batches,
    check_readable,
    frontal_films,
)
from .initial import begin_at_prevalence, earlier_training, initialise, origin, prevalence
from .learner import Learner, averaged
from .metrics import Outputs, accuracy, auc_by_finding, masked_loss, mean_auc
from .mixup import mixer
from .places import places_of
from .projection import films_to_project, project
from .settings import Settings
from .state import load_state, progress_of, save_state
from .teacher import open_teacher
from .world import World

CHECKPOINT, STATE = "checkpoint.safetensors", "state.safetensors"

STATE_EVERY = 30.0
"""Seconds of training that a kill may cost beside the epoch that it falls into."""


@dataclass
class Run:
    """A training under way; `train` makes and drives it."""

    settings: Settings
    described: dict[str, Any]  # the settings, the data sets' digests and whom they teach, as JSON
    out: Path
    world: World
    device: Device
    architecture: Architecture
    learner: Learner
    average: AveragedModel | None
    parallel: nn.Module
    optimizer: AdamW
    scheduler: ReduceLROnPlateau | CosineAnnealingLR
    epochs: list[report.Epoch]
    best_outputs: Outputs | None = None
    written: float = -math.inf  # when the state was, in seconds of a monotonic clock

    @property
    def kept(self) -> DenseNetwork:
        """The network that is validated and goes into the checkpoint."""
        kept = self.learner.network if self.average is None else self.average.module
        return cast(DenseNetwork, kept)

    @property
    def state(self) -> nn.Module:
        """All modules that a resumed run needs."""
        parts: dict[str, nn.Module] = {"learner": self.learner}
        return nn.ModuleDict(parts if self.average is None else parts | {"average": self.average})

    def follow(self) -> None:
        """Let the average follow the network, after a step."""
        if self.average is not None:
            self.average.update_parameters(cast(DenseNetwork, self.learner.network))

    @property
    def best(self) -> report.Epoch | None:
        """The epoch of full size with the highest mean validation AUC; the earliest of equals."""
        full = self.epochs[self.settings.small_epochs :]
        return max(full, key=lambda epoch: (epoch.val_auc, -epoch.epoch), default=None)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none of the last ``patience`` was the best."""
        done, best = len(self.epochs), self.best
        return done >= self.settings.epochs or (
            best is not None and done - best.epoch >= self.settings.patience
        )


def train(
    settings: Settings,
    datasets: Sequence[Dataset],
    out: Path,
    *,
    architecture: Architecture | None = None,
    console: Console | None = None,
) -> Path:
    """Train, or go on with the training that ``out`` holds.

    Args:
        settings: the recipe.
        datasets: to learn from, pooled; a finding that a set does not know is masked for its films.
        out: folder of the run; made if need be.
        architecture: of the network; None for DenseNet-169. Its projection is the settings'.
        console: where progress goes; None for the terminal.

    Returns:
        Path of the best epoch's checkpoint.

    Raises:
        DatasetError: films or labels are missing.
        ConfigurationError: settings cannot work, or ``out`` holds a run with other settings.
    """
    with World.join(settings.device) as world:
        console = console if console and world.first else Console(quiet=not world.first)
        splits = frontal_films(datasets, settings)
        check_readable(splits[TRAIN] + splits[VAL])
        # a projection is learnt in the end; until then there is none
        architecture = replace(architecture or Architecture(), projection=0)
        projecting = (
            films_to_project(splits[TRAIN], settings, architecture) if settings.projection else []
        )
        run = _start(settings, datasets, out, world, architecture, splits[TRAIN])
        console.print(
            f"{len(splits[TRAIN]):,} training and {len(splits[VAL]):,} validation films; "
            f"{run.device}; {world.size} process(es); epoch {len(run.epochs) + 1} of "
            f"{settings.epochs} is next"
        )
        order = EpochOrder(splits[TRAIN], settings, world.rank, world.size)
        places = places_of(datasets, splits[TRAIN], settings.findings) if settings.boxes else None
        soft = None
        if settings.soft and not run.finished:
            soft = soft_labels(settings, splits[TRAIN], run.device, world, out, console)
        films = FilmTensors(splits[TRAIN], settings, augmented=True, places=places, soft=soft)
        # a last batch of one film has no variance for batch norm
        loader = batches(films, order, drop_last=len(order) % settings.batch == 1)
        validation = Validation(splits[VAL], settings, world)
        while not run.finished:
            _one_epoch(run, loader, order, validation, console)
        if world.first and projecting:
            project(out / CHECKPOINT, projecting, settings, run.device, console)
        if world.first and run.best is not None:
            console.print(report.table(run.epochs, run.best.epoch))
            console.print(f"best epoch {run.best.epoch}: {plain(out / CHECKPOINT)}")
        return out / CHECKPOINT


def _start(
    settings: Settings,
    datasets: Sequence[Dataset],
    out: Path,
    world: World,
    architecture: Architecture,
    films: Sequence[Film],
) -> Run:
    torch.manual_seed(settings.seed)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = Device.choose(settings, world)
    network = DenseNetwork(architecture, len(settings.findings), settings.spec)
    described = settings.as_json() | {
        "initial": origin(settings.initial),
        "datasets": {d.name: d.digest for d in datasets},
        "learnt": {d.name: learnt_digest(d.films, settings.split) for d in datasets},
        "whose": {d.name: sorted({who(film)[0] for film in d.films}) for d in datasets},
        "initial_training": earlier_training(settings.initial),
    }
    resumes = (out / STATE).is_file()
    if resumes:
        _check_same(out, described)
    elif not initialise(network, settings.initial):
        begin_at_prevalence(network.classifier, films, settings.findings, settings.uncertain)
    teacher = open_teacher(settings.teacher, device.name) if settings.teacher else None
    share = prevalence(films, settings.findings, settings.uncertain)[0]
    learner = Learner(network, teacher, torch.from_numpy(share)).to(device.name)
    learner.to(memory_format=torch.channels_last)
    optimizer = AdamW(
        learner.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    run = Run(
        settings=settings,
        described=described,
        out=out,
        world=world,
        device=device,
        architecture=architecture,
        learner=learner,
        average=averaged(network, settings.average) if settings.average else None,
        parallel=DistributedDataParallel(learner) if world.size > 1 else learner,
        optimizer=optimizer,
        scheduler=_scheduler(optimizer, settings),
        epochs=[],
    )
    if resumes:
        progress = load_state(out / STATE, run.state, optimizer, run.scheduler)
        run.epochs += [report.Epoch(**fields) for fields in progress["epochs"]]
    elif world.first:
        write_file(out / "settings.json", json.dumps(described, indent=2).encode())
    return run


def _scheduler(optimizer: AdamW, settings: Settings) -> ReduceLROnPlateau | CosineAnnealingLR:
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=settings.epochs)
    return ReduceLROnPlateau(
        optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
    )


def _check_same(out: Path, described: dict[str, Any]) -> None:
    """A resumed run must be the same run, but for what does not change its result."""
    before = progress_of(out / STATE)["settings"]
    # the last two follow from the data sets' digests and from the file of "initial"
    free = {"workers", "threads", "patience", "whose", "initial_training"}
    if described["schedule"] != "cosine":  # which reaches 0 with the last epoch
        free.add("epochs")
    changed = [
        f"{key} was {before.get(key)!r}, is {value!r}"
        for key, value in described.items()
        if key not in free and before.get(key) != value
    ]
    if changed:
        raise ConfigurationError(
            f"{out} holds a run with other settings ({'; '.join(changed)}); "
            "choose another --out folder, or remove this one to begin anew"
        )


def _one_epoch(
    run: Run,
    loader: DataLoader[Lesson],
    order: EpochOrder,
    validation: Validation,
    console: Console,
) -> None:
    number, began = len(run.epochs) + 1, time.monotonic()
    order.epoch = number
    rate = float(run.optimizer.param_groups[0]["lr"])
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"epoch {number} train", total=len(loader))

        def advance() -> None:
            run.follow()
            progress.advance(task)

        guidance = run.settings.guidance_at(number)
        mixing = mixer(run.settings, number, run.world.rank)
        loss, right = train_epoch(
            run.parallel, loader, run.optimizer, run.device, guidance, mixing, advance
        )
        loss, right = run.world.mean(loss), run.world.mean(right)
        run.world.align(run.state)
        task = progress.add_task(f"epoch {number} validate", total=None)
        outputs = validation.outputs(run.kept, run.device, number)
    by_finding = auc_by_finding(outputs)
    epoch = report.Epoch(
        number, loss, right, masked_loss(outputs), accuracy(outputs), mean_auc(by_finding), rate,
        time.monotonic() - began, by_finding,
    )  # fmt: skip
    run.epochs.append(epoch)
    if isinstance(run.scheduler, ReduceLROnPlateau):
        run.scheduler.step(epoch.val_loss)
    else:
        run.scheduler.step()
    if run.world.first:
        _record(run, epoch, outputs)
        _say(console, epoch, run)
    run.world.wait()


def _say(console: Console, epoch: report.Epoch, run: Run) -> None:
    best = "  (best so far)" if run.best is epoch else ""
    console.print(
        f"epoch {epoch.epoch}: train loss {epoch.train_loss:.4f} accuracy "
        f"{epoch.train_accuracy:.4f}; validation loss {epoch.val_loss:.4f} accuracy "
        f"{epoch.val_accuracy:.4f} mean AUC {epoch.val_auc:.4f}; {epoch.seconds:.0f} s{best}"
    )
    console.print("  " + "  ".join(f"{plain(k)} {v:.3f}" for k, v in epoch.auc_by_finding.items()))


def _record(run: Run, epoch: report.Epoch, outputs: Outputs) -> None:
    """Write what the epoch yields.

    The state comes last, so a kill repeats whole epochs; where they are short, not each of them
    has its state written, for that would take longer than to repeat it.
    """
    if run.best is epoch:
        save(
            run.out / CHECKPOINT,
            Card(
                findings=run.settings.findings,
                spec=run.settings.spec,
                architecture=run.architecture,
                calibration=calibrate(outputs),
                training=run.described
                | {"epoch": epoch.epoch, "history": report.history(run.epochs)},
                metrics={
                    "val_loss": epoch.val_loss,
                    "val_accuracy": epoch.val_accuracy,
                    "val_auc": epoch.val_auc,
                    **{f"val_auc/{k}": v for k, v in epoch.auc_by_finding.items()},
                },
            ),
            weights_of(run.kept) | {MEAN: outputs.usual},
        )
        run.best_outputs = outputs
    report.write_csv(run.out / "epochs.csv", run.epochs)
    report.write_tensorboard(run.out / "tensorboard", epoch)
    if time.monotonic() - run.written < STATE_EVERY and not run.finished:
        return
    if run.best is not None and run.best_outputs is not None:
        report.write_roc_curves(run.out / "roc.png", run.best_outputs, run.best.auc_by_finding)
    report.write_loss_curves(run.out / "loss.png", run.epochs)
    progress = {"settings": run.described, "epochs": [asdict(e) for e in run.epochs]}
    save_state(run.out / STATE, run.state, run.optimizer, run.scheduler, progress)
    run.written = time.monotonic()
