"""Reports of a training: table, CSV, TensorBoard events, and plots of its epochs."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table
from torch.utils.tensorboard import SummaryWriter

from xemplar.archive.artefact import write_file
from xemplar.cli.terminal import plain
from xemplar.model.checkpoint import Card

from .metrics import Outputs, roc

COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_auc")


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch; AUC by finding is stratified by data set (`metrics`)."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_auc: float
    learning_rate: float
    seconds: float
    auc_by_finding: dict[str, float]


def table(epochs: Sequence[EpochMetrics], best: int) -> Table:
    """Builds a table of the epochs for the terminal; the best one is bold."""
    drawn = Table(title="Epochs (AUC by chance: 0.5)")
    for column in (*COLUMNS, "rate", "seconds"):
        drawn.add_column(column.replace("_", " "), justify="right")
    for epoch in epochs:
        figures = [f"{getattr(epoch, name):.4f}" for name in COLUMNS[1:]]
        row = [str(epoch.epoch), *figures, f"{epoch.learning_rate:.0e}", f"{epoch.seconds:.0f}"]
        drawn.add_row(*row, style="bold" if epoch.epoch == best else "")
    return drawn


def selection(epochs: Sequence[EpochMetrics], best: EpochMetrics, images: int) -> str:
    """Words why the best epoch's validation figure is too good, for the end of a run."""
    return (
        f"its mean validation AUC of {best.val_auc:.3f} is optimistic: the highest of "
        f"{len(epochs)} epoch(s) (the last has {epochs[-1].val_auc:.3f}) on {images:,} images, on "
        "which calibration and thresholds were fitted too; `xemplar evaluate` measures on others"
    )


def calibration_table(card: Card) -> Table:
    """Builds a table of a checkpoint's base rates and threshold for the terminal."""
    on = card.population
    drawn = Table(
        title=None
        if on is None
        else f"Calibrated on {on.images:,} validation images of {plain(on.source)}; base rates of "
        f"{on.labelled:,} labelled images, {on.ill:.0%} of which show a finding"
    )
    for column in ("finding", "base rate", "images", "of them validation", "called from"):
        drawn.add_column(column, justify="left" if column == "finding" else "right")
    for finding, one in zip(card.findings, card.calibration, strict=True):
        drawn.add_row(
            plain(finding.replace("_", " ")),
            "-" if one.base_rate is None else f"{one.base_rate:.3f}",
            str(one.positives),
            str(one.val_positives),
            "never" if one.threshold is None else f"{one.threshold:.2f}",
        )
    return drawn


def history(epochs: Sequence[EpochMetrics]) -> list[dict[str, float]]:
    """Lists the epochs for a checkpoint; without durations, so that a rerun gives its bytes."""
    return [{name: getattr(epoch, name) for name in COLUMNS} for epoch in epochs]


def write_csv(path: Path, epochs: Sequence[EpochMetrics]) -> None:
    """Writes all epochs, one row each, with the AUC of every finding (blank if undefined)."""
    findings = sorted({finding for epoch in epochs for finding in epoch.auc_by_finding})
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*COLUMNS, "learning_rate", "seconds", *(f"auc {f}" for f in findings)])
    for epoch in epochs:
        figures = [f"{getattr(epoch, name):.6f}" for name in COLUMNS[1:]]
        aucs = [
            f"{epoch.auc_by_finding[f]:.6f}" if f in epoch.auc_by_finding else "" for f in findings
        ]
        rows.writerow([epoch.epoch, *figures, epoch.learning_rate, f"{epoch.seconds:.1f}", *aucs])
    write_file(path, text.getvalue().encode())


def write_tensorboard(folder: Path, epoch: EpochMetrics) -> None:
    """Adds an epoch's scalars."""
    with SummaryWriter(str(folder)) as writer:
        for name in (*COLUMNS[1:], "learning_rate"):
            writer.add_scalar(name, getattr(epoch, name), epoch.epoch)
        for finding, auc in epoch.auc_by_finding.items():
            writer.add_scalar(f"auc/{finding}", auc, epoch.epoch)


def write_loss_curves(path: Path, epochs: Sequence[EpochMetrics]) -> None:
    """Plots loss, accuracy and AUC over the epochs."""
    mpl.use("Agg")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, share = figure.subplots(1, 2)
    numbers = [epoch.epoch for epoch in epochs]
    for axes, names in ((loss, ("loss",)), (share, ("accuracy",))):
        for name in names:
            axes.plot(numbers, [getattr(e, f"train_{name}") for e in epochs], label=f"train {name}")
            axes.plot(
                numbers, [getattr(e, f"val_{name}") for e in epochs], label=f"validation {name}"
            )
    share.plot(numbers, [e.val_auc for e in epochs], label="validation mean AUC")
    share.axhline(0.5, color="grey", linestyle=":", label="AUC by chance")
    for axes, title in ((loss, "Binary cross-entropy"), (share, "Accuracy and AUC")):
        axes.set(xlabel="epoch", title=title)
        axes.legend(fontsize=8)
    _save(path, figure)


def write_roc_curves(path: Path, outputs: Outputs, auc_by_finding: dict[str, float]) -> None:
    """Plots ROC curves on the validation images.

    The curves are over all images; the AUC named in the legend is stratified by data set.
    """
    mpl.use("Agg")
    figure = Figure(figsize=(6.4, 6), layout="constrained")
    axes = figure.subplots()
    colours = mpl.colormaps["tab20"](np.linspace(0, 1, len(outputs.findings)))
    for column, finding in enumerate(outputs.findings):
        if finding in auc_by_finding:
            label = f"{finding.replace('_', ' ')} {auc_by_finding[finding]:.2f}"
            axes.plot(*roc(outputs, column), label=label, color=colours[column], linewidth=1.2)
    axes.plot([0, 1], [0, 1], ":", color="grey", label="chance 0.50")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.set_title("ROC on validation images (AUC by data set)")
    axes.legend(fontsize=7, loc="lower right")
    _save(path, figure)


def _save(path: Path, figure: Figure) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_file(path, picture.getvalue())
