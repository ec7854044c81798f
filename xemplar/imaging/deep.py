"""An image's own values where they are deeper than the 8 bits that are searched with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.imaging.display import DISPLAY_SIDE, size_within

LEVELS = 2**16 - 1
"""Greatest stored level."""

SAMPLE = 50_000
"""Pixels that the window is fitted to."""

MIN_SAMPLE = 16
"""Grey pixels, neither black nor white, below which no window can be fitted."""


@dataclass(frozen=True, eq=False)
class DeepValues:
    """Values of an image before any window, for a reader who sets one.

    An own value is ``levels * slope + intercept``: after the modality LUT or the rescaling of a
    DICOM header, or as stored in a PNG or TIFF.

    Attributes:
        levels: uint16 (height, width), as large as the display copy: longer side at most
            `DISPLAY_SIDE` pixels.
        slope: own values for each level, positive.
        intercept: own value of level 0.
        centre: centre of the window that the 8-bit image was made with, in own values.
        width: its width in own values, positive.
        inverted: whether high values are black, as in DICOM's MONOCHROME1.
    """

    levels: npt.NDArray[np.uint16]
    slope: float
    intercept: float
    centre: float
    width: float
    inverted: bool


def deep_values(values: npt.NDArray[Any], grey: npt.NDArray[np.uint8]) -> DeepValues | None:
    """Shrink an image's own values to the size of its display copy.

    Args:
        values: own values (height, width), of any type.
        grey: uint8 (height, width), the grey made of them, 0 black to 255 white. The window is the
            line that fits it best, so a lookup table gets the linear window nearest to it.

    Returns:
        None if the values are not finite, or the grey tells no window.
    """
    import cv2  # most images have 8 bits, and their decoders do without it

    window = _window(values, grey)
    if window is None:
        return None
    height, width = size_within(values.shape[0], values.shape[1], DISPLAY_SIDE)
    depth = values if values.dtype in (np.uint8, np.uint16, np.int16) else values.astype(np.float32)
    small = np.asarray(cv2.resize(depth, (width, height), interpolation=cv2.INTER_AREA), np.float64)
    if not np.isfinite(small).all():
        return None
    lowest, span = float(small.min()), float(small.max() - small.min())
    is_whole = values.dtype.kind in "iu" and span <= LEVELS
    slope = 1.0 if is_whole or span == 0 else span / LEVELS
    levels = np.rint((small - lowest) / slope).astype(np.uint16)
    return DeepValues(levels, slope, lowest, *window)


def _window(
    values: npt.NDArray[Any], grey: npt.NDArray[np.uint8]
) -> tuple[float, float, bool] | None:
    """Fit centre, width and direction of the linear window between values and their grey."""
    step = max(1, values.size // SAMPLE)
    shown = grey.ravel()[::step].astype(np.float64)
    own = values.ravel()[::step].astype(np.float64)
    inside = (shown > 0) & (shown < 255) & np.isfinite(own)
    if inside.sum() < MIN_SAMPLE or np.ptp(own[inside]) == 0:
        return None
    rise, start = np.polyfit(own[inside], shown[inside], 1)
    if rise == 0:
        return None
    return float((127.5 - start) / rise), float(abs(255 / rise)), bool(rise < 0)
