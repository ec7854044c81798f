"""Detects whether two files show the same image in different formats, resolutions or windows.

The same image reaches an archive as DICOM in several transfer syntaxes, as the PNG of a published
data set and as another one's JPEG. Their bytes differ, but the network's inputs, 224 x 224 pixels,
are nearly equal. So embeddings select candidates, and pixels decide.

The comparison uses local contrast: the input at half its size, high-pass filtered and divided by
its local standard deviation. That removes differences of window, display curve and bit depth, and
the coarse shape common to all chests. It keeps ribs, vessels and markers, whose positions differ in
another exposure of the same patient. Among 74 million pairs of real images, the likeness of two
different ones is at most 0.63; copies reach 0.9 (`benchmarks/near_duplicates.py`). Rotated,
mirrored or cropped copies are not recognised.
"""

from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.catalog import Case, Catalog
from xemplar.errors import CorruptArtefact, NotFound
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.index import LiveIndex

COPY_COSINE = 0.8
"""Cosine of embeddings below which images are not compared, as hardly any are the same."""

SAME_IMAGE = 0.8
"""Minimum correlation of local contrast of two copies of an image."""

MAX_COPIES = 10
"""Number of most similar cases that are compared with an image."""

SIDE = 112
"""Side, in pixels, of the image whose local contrast is compared."""

SIGMA = 2.0
"""Standard deviation of the Gaussian neighbourhood, in those pixels."""

FLOOR = 2.0
"""Added to the local standard deviation, in grey levels, to suppress noise in uniform areas."""

REMEMBERED = 128
"""Stored images whose contrast is cached during one request: 50 kB each."""

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


class StoredImages:
    """Compares images with the stored inputs of cases. Safe to share between threads."""

    def __init__(self, media: Media, spec: PreprocessSpec) -> None:
        self._media = media
        self._spec = spec
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._read)

    def same(self, one: Contrast | None, sha256: str) -> bool:
        """Return whether an image is the same as the one stored under a digest.

        False if the stored input is missing or damaged.
        """
        other = self.contrast(sha256)
        return one is not None and other is not None and likeness(one, other) >= SAME_IMAGE

    def contrast(self, sha256: str) -> Contrast | None:
        """Return `local_contrast` of a stored image; None if it is missing or damaged."""
        return self._remembered(sha256)

    def _read(self, sha256: str) -> Contrast | None:
        try:
            return local_contrast(self._media.input(sha256, self._spec))
        except (NotFound, CorruptArtefact):
            return None


def case_of_image(
    vector: npt.NDArray[np.float32],
    inputs: npt.NDArray[np.uint8],
    generation: LiveIndex,
    catalog: Catalog,
    images: StoredImages,
) -> Case | None:
    """Find the most similar case visible to the caller that shows the same image, or None.

    Args:
        vector: float32 (C,), embedding of the image.
        inputs: uint8 (s, s), the network's input.
        generation: index to search.
        catalog: contains the cases.
        images: stored inputs of the cases.
    """
    hits = generation.search(vector, MAX_COPIES, among=catalog.seen())
    near = [int(number) for number in hits.ids[hits.similarity >= COPY_COSINE]]
    if not near:
        return None
    cases, contrast = catalog.cases(near), local_contrast(inputs)
    found = (cases[number] for number in near if number in cases)
    return next((case for case in found if images.same(contrast, case.image_sha256)), None)
