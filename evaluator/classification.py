"""Classification study: AUC and ROC by finding, and the checkpoint's training curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from .auc import GUESSING, Judge, auc_of
from .data import EvaluationData
from .drawing import CHANCE, figure, png
from .section import Cell, Picture, Section, Table

COLUMNS = (
    *("finding", "AUC", "chance", "images with it", "images"),
    "AUC, images with a finding",
)


def classification(
    data: EvaluationData, on_progress: Callable[[int], None] = lambda _: None
) -> Section:
    """Measures the AUC of every finding that some images have and some have not.

    Raises:
        DatasetError: there is no such finding.
    """
    queries, judge = data.queries, Judge.of(data)
    truth = judge.truth
    ill = (truth.present & truth.known).any(axis=1)
    rows = _rows(judge, queries.logits)
    parts = list(data.parts.items())[1:]  # the first is all of them together
    apart = [
        [part, *row]
        for part, members in parts
        for row in _rows(judge.among(members), queries.logits[members])
    ]
    curves: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}
    for column in truth.judged:
        name, known = truth.findings[column].replace("_", " "), truth.known[:, column]
        present, logits = truth.present[known, column], queries.logits[known, column]
        auc = auc_of(present, logits)(np.ones(len(present)))
        curves[f"{name} {auc:.2f}"] = roc_curve(present, logits)[:2]
        on_progress(column + 1)
    on_progress(len(truth.findings))
    mean = rows[0][1]
    training = data.encoder.checkpoint.card.training
    return Section(
        name="classification",
        title="The network itself: how well it tells findings",
        summary=f"The mean AUC of {len(curves)} findings is {mean}; guessing gives 0.5.",
        text=(
            f"The mean area under the ROC curve over {len(curves)} findings is {mean}; "
            "guessing gives 0.5, a perfect network 1. It is the chance that an image with the "
            "finding is rated above one without. Whether the probability itself can be believed, "
            "and what happens in another hospital, it does not say. The labels are those of the "
            f"data set, with their errors. {data.trained}",
            f"{np.mean(ill):.0%} of the images show some finding. To tell findings from each other "
            "is harder than to tell ill from well, so compare these figures with others only "
            "beside that share; the last column is about the images with a finding alone.",
        ),
        tables=(
            Table(
                "auc",
                "Area under the ROC curve",
                COLUMNS,
                rows,
                "Intervals are over patients. Findings that all or none of the images have are "
                "missing.",
            ),
            Table(
                "auc-splits",
                "The same, in each split apart",
                ["images", *COLUMNS],
                apart,
                "The means are over the findings that some images of the split have and some have "
                "not, so they may be of others than together.",
            ),
        ),
        pictures=(_roc(curves), *_losses(training.get("history", ()))),
        settings={"training": _told(training)},
    )


def _told(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's description without the digests of its patients and pictures."""
    told = {name: value for name, value in training.items() if name != "membership"}
    if told.get("initial_training"):
        told["initial_training"] = _told(told["initial_training"])
    return told


def _rows(judge: Judge, logits: npt.NDArray[np.float32]) -> list[list[Cell]]:
    """AUC of every finding that can be judged, their mean first, and among the images with any."""
    truth = judge.truth
    if not truth.judged:
        return []
    ill = (truth.present & truth.known).sum(axis=1) > 0
    among, told = judge.among(ill), logits[ill]
    both = among.truth.judged
    rows: list[list[Cell]] = [
        [
            *("mean of all", judge.mean(logits, truth.judged), GUESSING, None, len(logits)),
            among.mean(told, both) if both else None,
        ]
    ]
    for column in truth.judged:
        known = truth.known[:, column]
        rows.append(
            [
                *(truth.findings[column], judge.finding(logits, column), GUESSING),
                *(int(truth.present[known, column].sum()), int(known.sum())),
                among.finding(told, column) if column in both else None,
            ]
        )
    return rows


def _roc(
    curves: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> Picture:
    sheet = figure(6.4, 6)
    axes = sheet.subplots()
    colours = mpl.colormaps["tab20"](np.linspace(0, 1, len(curves)))
    for colour, (label, (false, true)) in zip(colours, curves.items(), strict=True):
        axes.plot(false, true, label=label, color=colour, lw=1.2)
    axes.plot([0, 1], [0, 1], ":", color=CHANCE, label="chance 0.50")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(fontsize=7, loc="lower right")
    return Picture("roc", "ROC curves on the evaluated images", png(sheet), "Numbers are the AUC.")


def _losses(history: Sequence[Mapping[str, Any]]) -> tuple[Picture, ...]:
    """Plots loss and AUC by epoch, if the checkpoint keeps them."""
    if not history:
        return ()
    numbers = [epoch["epoch"] for epoch in history]
    sheet = figure(8, 3.2)
    loss, auc = sheet.subplots(1, 2)
    for name, label in (("train_loss", "training"), ("val_loss", "validation")):
        loss.plot(numbers, [epoch[name] for epoch in history], label=label, marker=".")
    loss.set(xlabel="epoch", title="binary cross-entropy")
    loss.legend(fontsize=8)
    auc.plot(numbers, [epoch["val_auc"] for epoch in history], marker=".", label="validation")
    auc.axhline(0.5, color=CHANCE, ls=":", label="chance")
    auc.set(xlabel="epoch", title="mean AUC")
    auc.legend(fontsize=8)
    return (Picture("loss", "Training of the checkpoint, epoch by epoch", png(sheet)),)
