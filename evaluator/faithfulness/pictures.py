"""Curves of the three parts, and maps of a network that is forgetting."""

import numpy as np
from matplotlib.axes import Axes

from xemplar.imaging.overlay import overlay

from ..data import EvaluationData
from ..drawing import CHANCE, OURS, figure, image, png, show
from ..section import Picture
from .cascading_randomisation import LIMIT, STAGES, CascadingRandomisation
from .masking import EVIDENCE, PERTURBATION, RANDOM, Curves, MaskingCurves
from .tables import mean_over_patients

OTHER = "#c8641e"
LINES = {EVIDENCE: (OURS, "-"), PERTURBATION: (OTHER, "-"), RANDOM: (CHANCE, "--")}
STRIPS = 2
"""Images that are shown at each stage."""

INTACT = "intact"


def masking_picture(found: MaskingCurves) -> Picture:
    """Mean deletion and insertion curve of each order."""
    drawn = figure(8, 3.2)
    left, right = drawn.subplots(1, 2, sharey=True)
    _curves(left, found, found.deletion, "Deletion: lower is better", "cells replaced by blur")
    _curves(right, found, found.insertion, "Insertion: higher is better", "cells given back")
    left.set_ylabel("cosine with the neighbour")
    left.legend(fontsize=7, frameon=False)
    return Picture(
        "faithfulness-masking",
        "Cosine with the neighbour while the image is blurred, and while it comes back",
        png(drawn),
        f"Means over {len(found.rows)} pairs. Dashed: cells in random order, which is chance. "
        "Both ends are the same for all orders: the whole image, and nothing but blur.",
    )


def _curves(axes: Axes, found: MaskingCurves, curves: Curves, title: str, label: str) -> None:
    for order, (colour, style) in LINES.items():
        axes.plot(100 * found.shares, curves[order].mean(axis=0), style, color=colour, label=order)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(f"{label}, %")


def stages_picture(found: CascadingRandomisation, data: EvaluationData) -> Picture:
    """Correlation with the intact network's maps after each stage, with its interval."""
    rows = [sample.row for sample in found.samples]
    stages = [mean_over_patients(values, rows, data) for values in found.signed]
    between = mean_over_patients(found.between, rows, data)
    drawn = figure(6, 3.2)
    axes = drawn.subplots()
    names = [INTACT, *(name for name, _ in STAGES)]
    means = [1.0, *(np.nan if stage is None else stage.value for stage in stages)]
    axes.plot(names, means, "o-", color=OURS, label="same image, scrambled network")
    for index, stage in enumerate(stages, start=1):
        if stage is not None and stage.low is not None and stage.high is not None:
            axes.vlines(index, stage.low, stage.high, color=OURS)
    if between is not None:
        axes.axhline(between.value, ls="--", color=CHANCE, label="other images, intact network")
    axes.axhline(LIMIT, ls=":", color=OTHER, label="limit when all is scrambled")
    axes.axhline(0, lw=0.5, color=CHANCE)
    axes.set_ylabel("rank correlation")
    axes.tick_params("x", labelrotation=30, labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    return Picture(
        "faithfulness-randomisation",
        "Likeness of Grad-CAM, before it is rectified, to the intact network's, stage by stage",
        png(drawn),
        "Each stage scrambles its layers and all to its left. Bars: 95 % intervals over patients.",
    )


def strip_picture(found: CascadingRandomisation, data: EvaluationData) -> Picture:
    """The maps of the first images at each stage, over the image."""
    images, spec = data.queries, data.encoder.checkpoint.card.spec
    # those whose real map shows anything come first
    shown = np.argsort(np.isnan(found.correlation[-1]), kind="stable")[:STRIPS]
    drawn = figure(1.3 * (len(STAGES) + 1), 1.6 * len(shown))
    grid = drawn.subplots(len(shown), len(STAGES) + 1, squeeze=False)
    names = [INTACT, *(name for name, _ in STAGES)]
    for index, axes in zip(shown, grid, strict=True):
        sample = found.samples[index]
        picture = image(images.inputs[sample.row], spec, images.shapes[sample.row])
        for column, name, maps in zip(axes, names, found.maps, strict=True):
            title = f"{data.findings[sample.finding]}: {name}" if name == INTACT else name
            show(column, overlay(picture, maps[index], spec), title)
    return Picture(
        "faithfulness-strip",
        "Grad-CAM of the intact network and after each stage of scrambling",
        png(drawn),
        "Each map is drawn as a share of its own maximum; an image without colour has a blank map.",
    )
