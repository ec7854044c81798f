"""`spectrum`: banded power spectrum of an image, horizontal and vertical."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

SIDE, BANDS = 128, 10
"""Side in pixels of the resized image, and number of its frequency bands. Finer structure depends
on detector and compression more than on content."""

Inputs = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]


def normalised(inputs: Inputs, side: int) -> Vector:
    """Resize an image (s, s) to (side, side) and standardise it, which removes exposure."""
    values = cv2.resize(inputs, (side, side), interpolation=cv2.INTER_AREA).astype(np.float64)
    values -= values.mean()
    unit: Vector = values / max(float(np.sqrt((values**2).mean())), 1e-6)
    return unit


def spectrum(inputs: Inputs) -> Vector:
    """Compute the log mean power in `BANDS` frequency bands per direction, (<= 2 * BANDS,).

    Invariant to exposure, contrast, inversion and rotation by 180 degrees.

    Args:
        inputs: uint8 (s, s).
    """
    window, bins = _bins()
    power = np.abs(np.fft.rfft2(normalised(inputs, SIDE) * window)) ** 2
    counts = np.bincount(bins.ravel(), minlength=2 * BANDS + 1)[: 2 * BANDS]
    sums = np.bincount(bins.ravel(), power.ravel(), minlength=2 * BANDS + 1)[: 2 * BANDS]
    logarithms: Vector = np.log(sums[counts > 0] / counts[counts > 0] + 1e-2)
    return logarithms


@cache
def _bins() -> tuple[Vector, npt.NDArray[np.int64]]:
    """Hann window, (s, s), and bin of each frequency, (s, s // 2 + 1); the last bin is unused."""
    hann = np.hanning(SIDE)
    down = np.fft.fftfreq(SIDE, 1 / SIDE)[:, None]
    across = np.fft.rfftfreq(SIDE, 1 / SIDE)[None]
    edges = np.geomspace(1, SIDE / 2, BANDS + 1)
    band = np.digitize(np.hypot(down, across), edges) - 1
    inside = (band >= 0) & (band < BANDS)
    bins = np.where(inside, 2 * band + (np.abs(down) > across), 2 * BANDS)
    return np.outer(hann, hann), bins
