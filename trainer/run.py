"""A training from settings and data sets to a checkpoint; killed at any moment, it resumes.

The folder of a run: ``checkpoint.safetensors`` (the best epoch), ``state.safetensors`` (to
resume from), ``epochs.csv``, ``loss.png``, ``roc.png``, ``settings.json``, ``tensorboard/``.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
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

from xemplar.archive.artefact import write_file
from xemplar.cli.terminal import plain
from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import Card, load, save
from xemplar.model.densenet import MEAN, Architecture
from xemplar.model.pytorch import DenseNetwork, weights_of

from . import report
from .box_supervision import box_supervision_of
from .calibration import LabelCounts, calibrate, count_labels
from .crossfit import soft_labels
from .data import TrainingImages, check_readable, frontal_images
from .description import SETTINGS, STATE, check_same, description, membership
from .distributed import Distributed
from .epoch import Device, Validation, train_epoch
from .head import fit_head
from .initialisation import (
    initialise,
    prevalence,
    set_bias_to_prevalence,
)
from .label_weights import label_weights, weights_as_drawn
from .metrics import Outputs, accuracy, auc_by_finding, masked_loss, mean_auc, metrics_of
from .mixup import mixer
from .notes import notes
from .projection import fully_labelled, project
from .readable import leave_out_unreadable
from .reader_heads import with_reader_heads, without_reader_heads
from .resident import Loader, ResidentImages, batches_of, resident_images
from .sampling import EpochSampler
from .settings import TrainingSettings
from .soft_labels import read_soft_labels
from .state import load_state, save_state
from .student import Student, moving_average
from .teacher import open_teacher

CHECKPOINT = "checkpoint.safetensors"

STATE_EVERY = 30.0
"""Seconds of training that a kill may cost beside the epoch that it falls into."""


@dataclass
class Run:
    """A training under way; `train` makes and drives it."""

    settings: TrainingSettings
    described: dict[str, Any]  # settings, digests of data sets and of training patients, as JSON
    out: Path
    processes: Distributed
    device: Device
    architecture: Architecture
    student: Student
    average: AveragedModel | None
    parallel: nn.Module
    optimizer: AdamW
    scheduler: ReduceLROnPlateau | CosineAnnealingLR
    epochs: list[report.EpochMetrics]
    counts: LabelCounts  # of the population that probabilities are calibrated in
    best_outputs: Outputs | None = None
    written: float = -math.inf  # when the state was, in seconds of a monotonic clock

    @property
    def findings(self) -> tuple[str, ...]:
        """Outputs that go into the checkpoint: all but reader heads."""
        return tuple(self.described["findings"])

    @property
    def kept(self) -> DenseNetwork:
        """Network that is validated and goes into the checkpoint."""
        kept = self.student.network if self.average is None else self.average.module
        return cast(DenseNetwork, kept)

    @property
    def state(self) -> nn.Module:
        """Modules that a resumed run needs."""
        parts: dict[str, nn.Module] = {"student": self.student}
        return nn.ModuleDict(parts if self.average is None else parts | {"average": self.average})

    def update_average(self) -> None:
        """Updates the moving average after a step."""
        if self.average is not None:
            self.average.update_parameters(cast(DenseNetwork, self.student.network))

    @property
    def best(self) -> report.EpochMetrics | None:
        """Epoch of full size with the highest mean validation AUC; the earliest of equals."""
        full = self.epochs[self.settings.small_epochs :]
        return max(full, key=lambda epoch: (epoch.val_auc, -epoch.epoch), default=None)

    @property
    def finished(self) -> bool:
        """True if all epochs are done, or none of the last ``patience`` was the best."""
        done, best = len(self.epochs), self.best
        if self.settings.head_penalty:  # which takes all augmented epochs together
            return done > 0
        return done >= self.settings.epochs or (
            best is not None and done - best.epoch >= self.settings.patience
        )


def train(
    settings: TrainingSettings,
    datasets: Sequence[Dataset],
    out: Path,
    *,
    architecture: Architecture | None = None,
    console: Console | None = None,
) -> Path:
    """Trains, or resumes the training that ``out`` holds.

    Args:
        settings: the recipe.
        datasets: pooled; a finding that a set does not know is masked for its images.
        out: folder of the run; made if need be.
        architecture: of the network; None for DenseNet-169. Its projection is the settings'.
        console: for progress; None for the terminal.

    Returns:
        Path of the best epoch's checkpoint.

    Raises:
        DatasetError: images or labels are missing.
        ConfigurationError: settings cannot work, or ``out`` holds a run with other settings.
    """
    with Distributed.joined(settings.device) as processes:
        console = console if console and processes.is_main else Console(quiet=not processes.is_main)
        splits = frontal_images(datasets, settings)
        check_readable(splits[TRAIN] + splits[VAL])
        learnt = leave_out_unreadable(splits[TRAIN] + splits[VAL], processes, console)
        left_out = len(splits[TRAIN] + splits[VAL]) - len(learnt)
        for split in (TRAIN, VAL):
            splits[split] = [image for image in learnt if settings.split.of(image) == split]
        # the projection is fitted at the end; until then there is none
        architecture = replace(architecture or Architecture(), projection=0)
        to_project = (
            fully_labelled(splits[TRAIN], splits[VAL], settings, architecture)
            if settings.projection
            else []
        )
        described = description(settings, datasets, splits[TRAIN], left_out)
        if processes.is_main:  # which writes the checkpoint
            described["membership"] = membership(described, settings, datasets, out)
        learning = settings  # with the outputs that are dropped at the end
        if settings.reader_heads:
            splits, learning = with_reader_heads(splits, settings)
        run = _start(learning, described, out, processes, architecture, splits)
        console.print(
            f"{len(splits[TRAIN]):,} training and {len(splits[VAL]):,} validation images; "
            f"{run.device}; {processes.world_size} process(es); epoch {len(run.epochs) + 1} of "
            f"{settings.epochs} is next"
        )
        resident = None
        if not run.finished:
            known = splits[TRAIN] + splits[VAL]
            resident = resident_images(known, settings, run.device.name, processes, console)
        loader, sampler = _loader(run, datasets, splits[TRAIN], resident, console)
        for note in notes(splits, settings, run.described, settings.epochs * len(loader)):
            console.print(f"[yellow]note[/] {plain(note)}")
        validation = Validation(splits[VAL], learning, processes, resident)
        while not run.finished:
            _one_epoch(run, loader, sampler, validation, console)
        if processes.is_main and to_project:
            project(out / CHECKPOINT, to_project, settings, run.device, console, resident)
        if processes.is_main and run.best is not None:
            console.print(report.table(run.epochs, run.best.epoch))
            console.print(report.calibration_table(load(out / CHECKPOINT).card))
            console.print(f"best epoch {run.best.epoch}: {plain(out / CHECKPOINT)}")
            console.print(
                report.selection(run.epochs[settings.small_epochs :], run.best, len(splits[VAL]))
            )
        return out / CHECKPOINT


def _loader(
    run: Run,
    datasets: Sequence[Dataset],
    records: Sequence[DatasetImage],
    resident: ResidentImages | None,
    console: Console,
) -> tuple[Loader, EpochSampler]:
    """Builds the loader of the training images, with boxes and soft labels where they count."""
    settings = run.settings
    sampler = EpochSampler(records, settings, run.processes)
    boxes = soft = None
    if settings.box_weight:
        boxes = box_supervision_of(datasets, records, settings.findings)
    if settings.soft_labels and not run.finished:
        file = Path(settings.soft_labels)
        soft = read_soft_labels(file, records, run.findings, settings, console)
    elif settings.soft_label_weight and not run.finished:
        soft = soft_labels(settings, records, run.device, run.processes, run.out, console, resident)
    images = TrainingImages(
        records,
        settings,
        augmented=True,
        boxes=boxes,
        soft_labels=soft,
        label_weights=label_weights(records, settings),
    )
    # a last batch of one image has no variance for batch norm
    lone = len(sampler) % settings.batch_size == 1
    return batches_of(images, sampler, resident, drop_last=lone), sampler


def _start(
    settings: TrainingSettings,
    described: dict[str, Any],
    out: Path,
    processes: Distributed,
    architecture: Architecture,
    splits: Mapping[str, Sequence[DatasetImage]],
) -> Run:
    """Builds a run, and restores its state if ``out`` holds one."""
    records = splits[TRAIN]
    if settings.head_penalty and processes.world_size > 1:
        raise ConfigurationError(
            f"head_penalty is given, and {processes.world_size} processes train; a classifier is "
            "fitted by one: start it without torchrun"
        )
    torch.manual_seed(settings.seed)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = Device.choose(settings, processes)
    network = DenseNetwork(architecture, len(settings.findings), settings.spec)
    resumes = (out / STATE).is_file()
    check_same(out, described)
    weights = weights_as_drawn(records, settings)
    if not resumes and not initialise(network, settings.initial):
        set_bias_to_prevalence(
            network.classifier, records, settings.findings, settings.uncertain, weights
        )
    teacher = open_teacher(settings.teacher, device.name) if settings.teacher else None
    share = prevalence(records, settings.findings, settings.uncertain, weights)[0]
    share = share[: len(described["findings"])]
    student = Student(network, teacher, torch.from_numpy(share), processes).to(device.name)
    student.to(memory_format=torch.channels_last)
    optimizer = AdamW(
        student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    run = Run(
        settings=settings,
        described=described,
        out=out,
        processes=processes,
        device=device,
        architecture=architecture,
        student=student,
        average=moving_average(network, settings.ema_decay) if settings.ema_decay else None,
        parallel=DistributedDataParallel(student) if processes.world_size > 1 else student,
        optimizer=optimizer,
        scheduler=_scheduler(optimizer, settings),
        epochs=[],
        counts=count_labels(splits[VAL], records, described["findings"], settings.uncertain),
    )
    if resumes:
        progress = load_state(out / STATE, run.state, optimizer, run.scheduler)
        run.epochs += [report.EpochMetrics(**fields) for fields in progress["epochs"]]
    elif processes.is_main:
        write_file(out / SETTINGS, json.dumps(described, indent=2).encode())
    return run


def _scheduler(
    optimizer: AdamW, settings: TrainingSettings
) -> ReduceLROnPlateau | CosineAnnealingLR:
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=settings.epochs)
    return ReduceLROnPlateau(
        optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
    )


def _one_epoch(
    run: Run,
    loader: Loader,
    sampler: EpochSampler,
    validation: Validation,
    console: Console,
) -> None:
    number, began = len(run.epochs) + 1, time.monotonic()
    sampler.epoch = number
    rate = float(run.optimizer.param_groups[0]["lr"])
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as progress:
        if run.settings.head_penalty:
            loss, right = fit_head(run.kept, loader, sampler, run.settings, run.device, progress)
        else:
            task = progress.add_task(f"epoch {number} train", total=len(loader))

            def on_step() -> None:
                run.update_average()
                progress.advance(task)

            weights = run.settings.loss_weights_at(number)
            mix = mixer(run.settings, number, run.processes.rank)
            loss, right = train_epoch(
                run.parallel, loader, run.optimizer, run.device, weights, mix, on_step,
                run.processes,
            )  # fmt: skip
        loss, right = run.processes.mean(loss), run.processes.mean(right)
        run.processes.broadcast_buffers(run.state)
        progress.add_task(f"epoch {number} validate", total=None)
        outputs = validation.outputs(run.kept, run.device, number).first(len(run.findings))
    by_finding = auc_by_finding(outputs)
    epoch = report.EpochMetrics(
        number, loss, right, masked_loss(outputs), accuracy(outputs), mean_auc(by_finding), rate,
        time.monotonic() - began, by_finding,
    )  # fmt: skip
    run.epochs.append(epoch)
    if isinstance(run.scheduler, ReduceLROnPlateau):
        run.scheduler.step(epoch.val_loss)
    else:
        run.scheduler.step()
    if run.processes.is_main:
        _record(run, epoch, outputs)
        _print_epoch(console, epoch, run)
    run.processes.barrier()


def _print_epoch(console: Console, epoch: report.EpochMetrics, run: Run) -> None:
    best = "  (best so far)" if run.best is epoch else ""
    console.print(
        f"epoch {epoch.epoch}: train loss {epoch.train_loss:.4f} accuracy "
        f"{epoch.train_accuracy:.4f}; validation loss {epoch.val_loss:.4f} accuracy "
        f"{epoch.val_accuracy:.4f} mean AUC {epoch.val_auc:.4f}; {epoch.seconds:.0f} s{best}"
    )
    console.print("  " + "  ".join(f"{plain(k)} {v:.3f}" for k, v in epoch.auc_by_finding.items()))


def _record(run: Run, epoch: report.EpochMetrics, outputs: Outputs) -> None:
    """Writes checkpoint, reports and state of an epoch.

    The state comes last, so a kill repeats whole epochs; where they are short, not each of them
    has its state written, for that would take longer than to repeat it.
    """
    if run.best is epoch:
        calibration, population = calibrate(outputs, run.counts)
        save(
            run.out / CHECKPOINT,
            Card(
                findings=run.findings,
                spec=run.settings.spec,
                architecture=run.architecture,
                calibration=calibration,
                population=population,
                training=run.described
                | {"epoch": epoch.epoch, "history": report.history(run.epochs)},
                metrics=metrics_of(outputs),
            ),
            without_reader_heads(weights_of(run.kept), len(run.findings))
            | {MEAN: outputs.mean_activation},
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
