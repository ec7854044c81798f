"""Box supervision: radiologists' boxes on training images, and a location prior elsewhere.

A label says what an image shows and not where, so a network may learn it from a margin or a device.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.data.boxes import BOX_FILES, Box, box_file, place_boxes, read_boxes, rows_of
from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.errors import ConfigurationError
from xemplar.imaging import decode
from xemplar.imaging.preprocess import InputRegion

SIDE = 64
"""Side of a mask in cells; readers do not draw boxes more exactly."""

INTERCHANGEABLE = frozenset({"Pneumonia", "Infiltration", "Consolidation"})
"""Names of one kind of opacity: a box of one counts for the others too."""

PRIOR_WEIGHT = 0.25
"""Weight of the location prior, where a box has weight 1."""

FEWEST = 20
"""Fewest images with boxes that a data set's own prior rests on."""

Masks = npt.NDArray[np.float32]


class BoxSupervision:
    """Masks of where findings are: the share of each cell that shows a finding, or may.

    Args:
        boxes: index of an image -> its boxes.
        findings: the network's outputs.
        sources: data set of each image. One with boxes on `FEWEST` images has a prior of its own:
            drawn findings of phantoms say nothing of where those of patients lie.

    Attributes:
        prior: float32 (SIDE, SIDE) in [0, 1], frequency of boxes: 1 in the lungs, 0 at the margins;
            of all data sets together.
    """

    def __init__(
        self,
        boxes: Mapping[int, Sequence[Box]],
        findings: Sequence[str],
        sources: Sequence[str] = (),
    ) -> None:
        self._findings = findings
        self._masks = {row: self._drawn(drawn) for row, drawn in boxes.items()}
        self.prior = _prior([mask for masks in self._masks.values() for mask in masks.values()])
        self._sources = sources
        own = {
            source: [masks for row, masks in self._masks.items() if sources[row] == source]
            for source in set(sources)
        }
        self._priors = {
            source: _prior([mask for masks in images for mask in masks.values()])
            for source, images in own.items()
            if len(images) >= FEWEST
        }

    def masks(self, index: int) -> tuple[Masks, npt.NDArray[np.int64]]:
        """Returns the masks of a training image.

        Returns:
            (masks (n, SIDE, SIDE), the prior first; index of each finding's mask, (F,)).
        """
        drawn = self._masks.get(index, {})
        which = [1 + [*drawn].index(f) if f in drawn else 0 for f in self._findings]
        prior = self.prior
        if self._sources:
            prior = self._priors.get(self._sources[index], prior)
        return np.stack([prior, *drawn.values()]), np.array(which)

    def _drawn(self, boxes: Sequence[Box]) -> dict[str, Masks]:
        masks: dict[str, Masks] = {}
        for box in boxes:
            across = _overlap(np.array([box.left, box.right]) * SIDE)
            mask = _overlap(np.array([box.top, box.bottom]) * SIDE) @ across.T
            for finding in (
                INTERCHANGEABLE & set(self._findings)
                if box.finding in INTERCHANGEABLE
                else {box.finding}
            ):
                masks[finding] = np.maximum(masks.get(finding, 0), mask)
        return masks


def box_supervision_of(
    datasets: Sequence[Dataset], images: Sequence[DatasetImage], findings: Sequence[str]
) -> BoxSupervision:
    """Reads the box files in the data sets' folders.

    Args:
        datasets: of the training.
        images: its training images; boxes of other images are not looked at.
        findings: the network's outputs.

    Raises:
        DatasetError: a box file cannot be used.
        ConfigurationError: no training image has a box.
    """
    boxes: dict[int, tuple[Box, ...]] = {}
    for dataset in datasets:
        file = box_file(dataset.root)
        if file is None:
            continue
        rows = [row for row, image in enumerate(images) if image.source == dataset.name]
        own, drawn = [images[row] for row in rows], read_boxes(file)
        shapes = np.zeros((len(own), 2), np.int64)
        for row in {row for row in rows_of(drawn, own) if row is not None}:
            shapes[row] = decode(own[row].path.read_bytes()).source_size
        placed = place_boxes(drawn, own, shapes, findings)
        boxes |= {rows[row]: found for row, found in placed.items()}
    if not boxes:
        raise ConfigurationError(
            "--box-weight is given, and no training image has a box; put one of "
            f"{', '.join(BOX_FILES)} into the folder of its data set, or leave --box-weight out"
        )
    return BoxSupervision(boxes, findings, [image.source for image in images])


def to_input_frame(masks: Masks, region: InputRegion, size: int) -> Masks:
    """Moves masks (n, SIDE, SIDE) of an image into the frame of the network's input.

    Args:
        masks: of the image; the result has their resolution.
        region: position of the image in the input.
        size: side of the input in pixels.
    """
    if (region.width, region.height) == (size, size):
        return masks
    cells, scale = np.arange(SIDE + 1) / SIDE, SIDE / size
    across = _overlap((region.x + region.width * cells) * scale)
    down = _overlap((region.y + region.height * cells) * scale)
    return np.asarray(down @ masks @ across.T, np.float32)


def _overlap(edges: npt.NDArray[np.floating]) -> Masks:
    """Computes how much of each cell of a mask's axis each interval covers.

    Args:
        edges: float (n + 1,), borders of n adjacent intervals, in cells.

    Returns:
        float32 (SIDE, n) in [0, 1].
    """
    cells = np.arange(SIDE)[:, None]
    covered = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    return np.asarray(np.clip(covered, 0, 1), np.float32)


def _prior(masks: Sequence[Masks]) -> Masks:
    """Averages boxes, as likely at the left as at the right; 1 from a third of the maximum on."""
    if not masks:
        return np.ones((SIDE, SIDE), np.float32)
    mean = np.mean(masks, axis=0)
    smooth = cv2.GaussianBlur((mean + mean[:, ::-1]) / 2, (0, 0), SIDE / 20)
    prior: Masks = np.clip(3 * smooth / smooth.max(), 0, 1).astype(np.float32)
    return prior
