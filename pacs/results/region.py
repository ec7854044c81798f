"""Box of a heatmap: where a finding's Grad-CAM is at least half as high as at its maximum."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.imaging.preprocess import PreprocessSpec, onto_image

SHARE = 0.5
"""Share of the map's maximum that the region reaches; the usual one, not tuned on any data."""

SIDE = 512
"""Pixels on the longer side of the image that the region is measured on."""


@dataclass(frozen=True)
class HeatBox:
    """Rectangle on an image, in shares of its width and height, in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float

    def corners(self, rows: int, columns: int) -> list[tuple[float, float]]:
        """Return the corners (column, row), closed, in the pixel frame of PS3.3 C.18.6.1.2.

        Its origin is the upper left corner of the upper left pixel, so an image reaches to
        (columns, rows).
        """
        left, right = self.left * columns, self.right * columns
        top, bottom = self.top * rows, self.bottom * rows
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def heat_box(
    heatmap: npt.NDArray[np.float32], spec: PreprocessSpec, rows: int, columns: int
) -> HeatBox | None:
    """Find the box of the connected region around a map's maximum.

    Args:
        heatmap: float32 (g, g), in the frame of the network's input.
        spec: the preprocessing that made the input.
        rows: height of the image in pixels.
        columns: its width in pixels.

    Returns:
        The smallest box around the region; None for a map without a positive value on the image.
    """
    scale = SIDE / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    heat = onto_image(heatmap, spec, height, width)
    peak = float(heat.max())
    if peak <= 0:
        return None
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((heat >= SHARE * peak).astype(np.uint8))
    left, top, across, down, _ = boxes[labels[np.unravel_index(heat.argmax(), heat.shape)]]
    return HeatBox(left / width, top / height, (left + across) / width, (top + down) / height)
