"""Every method's map against every box: the figures that all tables are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.data.boxes import Box
from xemplar.imaging.preprocess import PreprocessSpec, onto_image

from ..data import EvaluationImages
from .maps import METHODS, Explainer
from .metrics import Mask, agreement

SIDE = 224
"""Longer side in pixels of the image on which a map and boxes are compared."""

THRESHOLDS = tuple(n / 100 for n in range(5, 100, 5))
"""Shares of a map's maximum among which each method's threshold is chosen."""

UNTUNED = 0.5
"""The threshold where there is nothing to choose it on."""

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """Region that a map is compared with: all boxes of an image with one finding and label.

    Attributes:
        row: of the image.
        finding: output of the checkpoint.
        label: as the box file writes it.
        boxes: one or more.
    """

    row: int
    finding: str
    label: str
    boxes: tuple[Box, ...]

    def mask(self, height: int, width: int) -> Mask:
        """The pixels that any of the boxes covers, bool (height, width)."""
        covered: Mask = np.any([box.mask(height, width) for box in self.boxes], axis=0)
        return covered


@dataclass(frozen=True, eq=False)
class LocalisationScores:
    """Figures of n regions and the M methods of `METHODS`; NaN where a method has no map.

    Attributes:
        regions: n records.
        case_ids: of their images.
        patients: of their images; an image whose patient is unknown is a patient of its own.
        area: float64 (n,), share of the image that the region covers, in (0, 1].
        pointing: float64 (n, M), in [0, 1].
        mass: float64 (n, M), in [0, 1].
        rank: float64 (n, M), in [0, 1].
        iou: float64 (n, M, T), in [0, 1], at each of `THRESHOLDS`.
        dice: float64 (n, M, T), likewise.
        blank: bool (n, M), whether the map is zero everywhere.
    """

    regions: tuple[Region, ...]
    case_ids: tuple[str, ...]
    patients: tuple[str, ...]
    area: Figures
    pointing: Figures
    mass: Figures
    rank: Figures
    iou: Figures
    dice: Figures
    blank: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.regions)


def regions_of(boxes: Mapping[int, Sequence[Box]]) -> Iterator[Region]:
    """The regions of all images, image by image, then by finding and label."""
    for row in sorted(boxes):
        for finding, label in sorted({(box.finding, box.label) for box in boxes[row]}):
            same = tuple(b for b in boxes[row] if (b.finding, b.label) == (finding, label))
            yield Region(row, finding, label, same)


def measure(
    images: EvaluationImages,
    explainer: Explainer,
    spec: PreprocessSpec,
    on_progress: Callable[[int], None] | None = None,
) -> LocalisationScores:
    """Compares every method's map with every region of the images.

    Args:
        images: of which those with boxes have maps.
        explainer: of the same data.
        spec: the preprocessing that made the images' inputs.
        on_progress: called with the number of images done, after each region.
    """
    regions = tuple(regions_of(images.boxes))
    images_done = {row: done for done, row in enumerate(sorted(images.boxes), start=1)}
    count, methods, grid = len(regions), len(METHODS), len(THRESHOLDS)
    area = np.zeros(count)
    pointing, mass, rank = (np.full((count, methods), np.nan) for _ in range(3))
    iou, dice = (np.full((count, methods, grid), np.nan) for _ in range(2))
    blank = np.zeros((count, methods), np.bool_)
    for n, region in enumerate(regions):
        height, width = image_shape(images, region.row)
        mask = region.mask(height, width)
        area[n] = mask.mean()
        maps = explainer.explain(images, region.row, region.finding)
        for m, method in enumerate(METHODS):
            heatmap = maps[method]
            if heatmap is not None:
                image = onto_image(heatmap, spec, height, width)
                blank[n, m] = not image.any()
                found = agreement(image, mask, THRESHOLDS)
                pointing[n, m], mass[n, m], rank[n, m] = found.pointing, found.mass, found.rank
                iou[n, m], dice[n, m] = found.iou, found.dice
        if on_progress:
            on_progress(images_done[region.row])
    rows = [region.row for region in regions]
    case_ids = tuple(images.case_ids[row] for row in rows)
    patients = tuple(images.patients[row] or f"image {images.case_ids[row]}" for row in rows)
    return LocalisationScores(
        regions, case_ids, patients, area, pointing, mass, rank, iou, dice, blank
    )


def image_shape(images: EvaluationImages, row: int) -> tuple[int, int]:
    """(height, width) of an image whose longer side is scaled to `SIDE` pixels, each at least 1."""
    height, width = (int(n) for n in images.shapes[row])
    scale = SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def chosen_thresholds(tuning: LocalisationScores) -> npt.NDArray[np.intp]:
    """Chooses the index in `THRESHOLDS` with the greatest mean IoU for each method, int (M,).

    The lowest of equals; `UNTUNED` for a method without any map on these images.
    """
    best = np.full(len(METHODS), THRESHOLDS.index(UNTUNED), np.intp)
    for m in range(len(METHODS)):
        iou = tuning.iou[np.isfinite(tuning.iou[:, m, 0]), m]
        if len(iou):
            best[m] = iou.mean(axis=0).argmax()
    return best
