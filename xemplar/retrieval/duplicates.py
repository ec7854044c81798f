"""Tells whether two files show one image, in whatever format, resolution or window.

The same image reaches an archive as DICOM in several transfer syntaxes, as the PNG that a data set
was published in and as the JPEG that another one made of it. Their bytes differ, their pixels
hardly: what the network sees of them, 224 x 224 pixels, is nearly the same. So candidates are
found by their embeddings, and their pixels decide.

Compared is local contrast: the input at half its size, high-pass filtered and divided by its local
standard deviation. That takes away what another window, display curve or bit depth changes, and
the coarse shape that all chests share, and leaves ribs, vessels and markers, which another
exposure of the same patient does not show in the same places. Among 74 million pairs of real
images the likeness of two different ones is at most 0.63; copies reach 0.9
(`benchmarks/near_duplicates.py`). Turned, mirrored or cropped images are not recognised.
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
"""Cosine of two embeddings below which their images are not compared: hardly any are the same."""

SAME_IMAGE = 0.8
"""Correlation of local contrast from which two images are the same."""

MAX_COPIES = 10
"""Most similar cases among which an image is sought."""

SIDE = 112
"""Of the picture whose local contrast is compared, in pixels."""

SIGMA = 2.0
"""Of the Gaussian neighbourhood that contrast is local to, in those pixels."""

FLOOR = 2.0
"""Added to the local standard deviation, in grey levels: noise of an even area has no contrast."""

REMEMBERED = 128
"""Stored images whose contrast is kept while one question is answered: 50 kB each."""

Contrast: TypeAlias = npt.NDArray[np.float32]


def same_image(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Tell whether two inputs of the network, uint8 (s, s), show the same image."""
    return likeness(local_contrast(one), local_contrast(other)) >= SAME_IMAGE


def local_contrast(inputs: npt.NDArray[np.uint8]) -> Contrast:
    """What `likeness` compares of an input of the network.

    Args:
        inputs: uint8 (s, s), from `preprocess`.

    Returns:
        float32 (SIDE, SIDE), mean 0 and length 1; all 0 for an even image.
    """
    grey = cv2.resize(inputs, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), SIGMA)
    deviation = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), SIGMA))
    contrast = detail / (deviation + FLOOR)
    contrast -= contrast.mean()
    length = np.linalg.norm(contrast)
    return np.asarray(contrast / length if length else contrast, np.float32)


def likeness(one: Contrast, other: Contrast) -> float:
    """Pearson correlation of two images' local contrast, -1 to 1; 0 where one is even."""
    return float(np.vdot(one, other))


class StoredImages:
    """Compares images with the stored inputs of cases. Safe to share between threads."""

    def __init__(self, media: Media, spec: PreprocessSpec) -> None:
        self._media = media
        self._spec = spec
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._read)

    def same(self, one: Contrast | None, sha256: str) -> bool:
        """Tell whether an image is the one stored under a digest.

        A case whose stored input is missing or damaged is the same as no other.
        """
        other = self.contrast(sha256)
        return one is not None and other is not None and likeness(one, other) >= SAME_IMAGE

    def contrast(self, sha256: str) -> Contrast | None:
        """`local_contrast` of a stored image; None where it is missing or damaged."""
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
    """Find the most similar case that shows an image; None where none that the caller sees does.

    Args:
        vector: float32 (C,), embedding of the image.
        inputs: uint8 (s, s), what the network saw of it.
        generation: where to search.
        catalog: what its cases are.
        images: their stored inputs.
    """
    hits = generation.search(vector, MAX_COPIES, among=catalog.seen())
    near = [int(number) for number in hits.ids[hits.similarity >= COPY_COSINE]]
    if not near:
        return None
    cases, contrast = catalog.cases(near), local_contrast(inputs)
    found = (cases[number] for number in near if number in cases)
    return next((case for case in found if images.same(contrast, case.image_sha256)), None)
