"""Plots of the shortcut study: an image under each mask, and the mean AUC by mask."""

from collections.abc import Sequence

from ..auc import GUESSING
from ..data import EvaluationData
from ..drawing import CHANCE, OURS, figure, image, png, show
from ..section import Estimate, Picture
from .masks import covered, masks


def masked_image(data: EvaluationData, whole: str) -> Picture:
    """Draws the first evaluated image, whole and under each mask."""
    queries, spec = data.queries, data.encoder.checkpoint.card.spec
    inputs = queries.inputs[0]
    shown = {whole: inputs} | {
        name: covered(inputs, mask) for name, mask in masks(spec.size).items()
    }
    sheet = figure(2.1 * len(shown), 2.4)
    row = sheet.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, picture) in zip(row, shown.items(), strict=True):
        show(axes, image(picture, spec, queries.shapes[0]), name)
    return Picture(
        "shortcuts-masks",
        "An image as the network sees it, whole and under each of the four masks",
        png(sheet),
        "The first evaluated image of the label file.",
    )


def aucs(found: Sequence[tuple[str, Estimate]], limited: str, limit: float) -> Picture:
    """Plots the mean AUC of each row with its interval, chance, and the limit."""
    sheet = figure(7, 0.45 * len(found) + 1)
    axes = sheet.subplots()
    for row, (name, auc) in enumerate(found):
        axes.plot(auc.value, row, "o", color=OURS)
        if auc.low is not None and auc.high is not None:
            axes.plot((auc.low, auc.high), (row, row), color=OURS)
        if name == limited:
            axes.plot(limit, row, "|", color="black", markersize=16)
    axes.axvline(GUESSING, color=CHANCE, linestyle=":")
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set(xlabel="mean AUC")
    axes.invert_yaxis()
    return Picture(
        "shortcuts-images",
        "Mean AUC by what the network sees, with 95 % intervals",
        png(sheet),
        f"Dotted: guessing. Black mark: the limit for {limited}.",
    )
