"""Plots of the localisation study: maps beside boxes, and the methods compared."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xemplar.imaging.overlay import overlay
from xemplar.imaging.preprocess import PreprocessSpec

from ..data import EvaluationImages
from ..drawing import BOX, CHANCE, OURS, figure, image, png, show
from ..section import Picture
from .maps import BASELINES, GRAD_CAM, METHODS, UNIFORM, Explainer
from .measure import SIDE, LocalisationScores
from .tables import RegionMean, by_name

FINDINGS = 4
"""Findings of which the contact sheet shows images: those with the most regions."""


def contact_sheet(
    measured: LocalisationScores,
    images: EvaluationImages,
    explainer: Explainer,
    spec: PreprocessSpec,
) -> Picture:
    """Draws boxes beside Grad-CAM: the best, median and worst image of a finding."""
    chosen = [(key, extremes(measured, key)) for key in most_frequent(measured)]
    drawn = figure(11, 2.15 * len(chosen))
    axes = drawn.subplots(len(chosen), 6, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for line, (_, examples) in zip(axes, chosen, strict=True):
        for row, n in enumerate(examples):
            _example(line[2 * row : 2 * row + 2], measured, n, images, explainer, spec)
    names = ", ".join(_name(*key) for key, _ in chosen)
    return Picture(
        "localisation-images",
        f"Images with radiologists' boxes beside the Grad-CAM overlay, for {names}",
        png(drawn),
        "One line a finding; from left to right the image with the best, the median and the worst "
        "relevance mass of Grad-CAM. Green: the radiologists' boxes. Above each overlay, whether "
        "the hottest spot lies in a box, and the share of the map that lies there beside the "
        "share of the image that the boxes cover; a number after hit is the share of equally hot "
        "spots that do. A blank map is zero everywhere: it leaves the image as it is, and is "
        "ranked as a uniform map. Colours are relative to each map's own maximum.",
    )


def most_frequent(measured: LocalisationScores) -> list[tuple[str, str]]:
    """(finding, label) with the most regions, at most `FINDINGS`, the most frequent first."""
    counts = Counter((region.finding, region.label) for region in measured.regions)
    # sorted first, so that equals come in the same order in every run
    return [key for key, _ in Counter(dict(sorted(counts.items()))).most_common(FINDINGS)]


def extremes(measured: LocalisationScores, key: tuple[str, str]) -> list[int]:
    """Finds the best, median and worst region by Grad-CAM's relevance mass, each once."""
    own = [n for n, r in enumerate(measured.regions) if (r.finding, r.label) == key]
    mass = measured.mass[:, METHODS.index(GRAD_CAM)]
    ordered = sorted(own, key=lambda n: -mass[n])
    return list(dict.fromkeys([ordered[0], ordered[len(ordered) // 2], ordered[-1]]))


def _example(
    axes: Sequence[Axes],
    measured: LocalisationScores,
    n: int,
    images: EvaluationImages,
    explainer: Explainer,
    spec: PreprocessSpec,
) -> None:
    """One image with its boxes, and beside it the same under Grad-CAM."""
    region = measured.regions[n]
    pixels = image(images.inputs[region.row], spec, images.shapes[region.row], SIDE)
    heatmap = explainer.grad_cam(images, region.row, region.finding)
    show(axes[0], pixels, _name(region.finding, region.label))
    show(axes[1], overlay(pixels, heatmap, spec, side=SIDE), _verdict(measured, n))
    height, width = pixels.shape
    for box in region.boxes:
        corner = (box.left * width - 0.5, box.top * height - 0.5)
        size = ((box.right - box.left) * width, (box.bottom - box.top) * height)
        for one in axes:
            one.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BOX, linewidth=1.2))


def _verdict(measured: LocalisationScores, n: int) -> str:
    """States if Grad-CAM hits the region, and its mass beside the region's area."""
    m = METHODS.index(GRAD_CAM)
    if measured.blank[n, m]:
        return f"blank map; area {measured.area[n]:.2f}"
    pointing = float(measured.pointing[n, m])
    hit = {1.0: "hit", 0.0: "miss"}.get(pointing, f"hit {pointing:.2f}")
    return f"{hit}; mass {measured.mass[n, m]:.2f}, area {measured.area[n]:.2f}"


def methods_plot(measured: LocalisationScores, mean: RegionMean) -> Picture:
    """Pointing game and relevance mass of every method with intervals, and chance as a line."""
    drawn = figure(10, 3.4)
    panels = drawn.subplots(1, 2, sharey=True)
    rows = np.arange(len(METHODS))
    for axes, (name, values) in zip(panels, by_name(measured).items(), strict=True):
        for row, method in zip(rows, METHODS, strict=True):
            found = mean(values[:, row])
            if found is not None:
                colour = CHANCE if method in BASELINES else OURS
                axes.plot(found.value, row, "o", color=colour)
                if found.low is not None and found.high is not None:
                    axes.plot((found.low, found.high), (row, row), color=colour)
        chance = values[:, METHODS.index(UNIFORM)].mean()
        axes.axvline(chance, color=CHANCE, linestyle=":")
        axes.set_title(f"{name} (chance {chance:.3f})", fontsize=10)
        axes.set(yticks=rows, yticklabels=METHODS, xlim=(0, None))
    panels[0].invert_yaxis()
    return Picture(
        "localisation-methods",
        "Pointing game and relevance mass of every method, with 95 % intervals and chance",
        png(drawn),
        "Grey: baselines, which know nothing of the image. Dotted: the uniform map.",
    )


def _name(finding: str, label: str) -> str:
    plain = finding.replace("_", " ")
    return plain if label.replace("_", " ") == plain else f"{plain} (boxes: {label})"
