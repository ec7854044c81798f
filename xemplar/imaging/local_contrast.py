"""Local contrast: tells whether two files show the same image in other formats, sizes or windows.

The same image reaches an archive as DICOM in several transfer syntaxes, as the PNG of a published
data set and as another one's JPEG. Their bytes differ, but the network's inputs, 224 x 224 pixels,
are nearly equal.

Compared is the input at half its size, high-pass filtered and divided by its local standard
deviation. That removes differences of window, display curve and bit depth, and the coarse shape
common to all chests. It keeps ribs, vessels and markers, whose positions differ in another exposure
of the same patient. Among 74 million pairs of real images, the likeness of two different ones is at
most 0.63; copies reach 0.9 (`benchmarks/near_duplicates.py`). Rotated, mirrored or cropped copies
are not recognised.
"""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

SAME_IMAGE = 0.8
"""Minimum correlation of local contrast of two copies of an image."""

SIDE = 112
"""Side, in pixels, of the image whose local contrast is compared."""

SIGMA = 2.0
"""Standard deviation of the Gaussian neighbourhood, in those pixels."""

FLOOR = 2.0
"""Added to the local standard deviation, in grey levels, to suppress noise in uniform areas."""

Contrast: TypeAlias = npt.NDArray[np.float32]


def same_image(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Return whether two network inputs, uint8 (s, s), show the same image."""
    return likeness(local_contrast(one), local_contrast(other)) >= SAME_IMAGE


def local_contrast(inputs: npt.NDArray[np.uint8]) -> Contrast:
    """Compute the local contrast of a network input, for `likeness`.

    Args:
        inputs: uint8 (s, s), from `preprocess`.

    Returns:
        float32 (SIDE, SIDE), mean 0 and length 1; all 0 for a uniform image.
    """
    grey = cv2.resize(inputs, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), SIGMA)
    deviation = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), SIGMA))
    contrast = detail / (deviation + FLOOR)
    contrast -= contrast.mean()
    length = np.linalg.norm(contrast)
    return np.asarray(contrast / length if length else contrast, np.float32)


def likeness(one: Contrast, other: Contrast) -> float:
    """Return the Pearson correlation of local contrasts, -1 to 1; 0 if an image is uniform."""
    return float(np.vdot(one, other))
