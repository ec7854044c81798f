"""`spectrum`: how much coarse and fine structure an image has, across and along."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

SIDE, BANDS = 128, 10
"""Side in pixels of the image whose spectrum is taken, and bands of frequency in it. What is finer
depends on detector and compression more than on what an image shows."""

Inputs = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]


def normalised(inputs: Inputs, side: int) -> Vector:
    """An image (s, s) as (side, side) of mean 0 and variance 1: exposure does not matter."""
    values = cv2.resize(inputs, (side, side), interpolation=cv2.INTER_AREA).astype(np.float64)
    values -= values.mean()
    unit: Vector = values / max(float(np.sqrt((values**2).mean())), 1e-6)
    return unit


def spectrum(inputs: Inputs) -> Vector:
    """Logarithm of the mean power in `BANDS` bands of frequency, across and along, (<= 2 * BANDS,).

    Exposure, contrast, inversion and half a turn make no difference to it.

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
    """A Hann window, (s, s), and the bin of each frequency, (s, s // 2 + 1); the last is none."""
    hann = np.hanning(SIDE)
    down = np.fft.fftfreq(SIDE, 1 / SIDE)[:, None]
    across = np.fft.rfftfreq(SIDE, 1 / SIDE)[None]
    edges = np.geomspace(1, SIDE / 2, BANDS + 1)
    band = np.digitize(np.hypot(down, across), edges) - 1
    inside = (band >= 0) & (band < BANDS)
    bins = np.where(inside, 2 * band + (np.abs(down) > across), 2 * BANDS)
    return np.outer(hann, hann), bins
