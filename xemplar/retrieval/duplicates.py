"""Detects whether an image is in the archive already, in another file.

Embeddings select candidates, and pixels decide (`xemplar.imaging.local_contrast`).
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.catalog import Case, Catalog, case_id_of
from xemplar.errors import CorruptArtefact, NotFound
from xemplar.imaging.local_contrast import SAME_IMAGE, Contrast, likeness, local_contrast
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.index import Hits, LiveIndex

COPY_COSINE = 0.8
"""Cosine of embeddings below which images are not compared, as hardly any are the same."""

MAX_COPIES = 10
"""Number of most similar cases that are compared with an image."""

REMEMBERED = 128
"""Stored images whose contrast is cached during one request: 50 kB each."""


class StoredImages:
    """Compares images with the stored inputs of cases. Safe to share between threads."""

    def __init__(self, media: Media, spec: PreprocessSpec) -> None:
        self._media = media
        self._spec = spec
        self._at_hand: dict[str, npt.NDArray[np.uint8]] = {}
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

    def put(self, case_id: str, inputs: npt.NDArray[np.uint8]) -> None:
        """Take the input of the query's own image, in place of a file that is read and decoded.

        Args:
            case_id: that the image has, or would have.
            inputs: uint8 (s, s), its network input.
        """
        self._at_hand[case_id] = inputs

    def _read(self, sha256: str) -> Contrast | None:
        known = self._at_hand.get(case_id_of(sha256))
        try:
            return local_contrast(self._media.input(sha256, self._spec) if known is None else known)
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
    hits = generation.search(vector, MAX_COPIES, among=generation.visible(catalog))
    return copy_among(hits, inputs, catalog, images)


def copy_among(
    hits: Hits, inputs: npt.NDArray[np.uint8], catalog: Catalog, images: StoredImages
) -> Case | None:
    """Find the first of the `MAX_COPIES` most similar cases that shows the same image, or None.

    Args:
        hits: of a search for the image among all cases that the caller can see.
        inputs: uint8 (s, s), the network's input.
        catalog: contains the cases.
        images: stored inputs of the cases.
    """
    first = hits.ids[:MAX_COPIES]
    near = [int(number) for number in first[hits.similarity[:MAX_COPIES] >= COPY_COSINE]]
    if not near:
        return None
    cases = catalog.cases(near)
    return first_copy((cases[number] for number in near if number in cases), inputs, images)


def first_copy(
    cases: Iterable[Case], inputs: npt.NDArray[np.uint8], images: StoredImages
) -> Case | None:
    """Find the first case that shows the image of a network input, uint8 (s, s), or None."""
    contrast: Contrast | None = None
    for case in cases:
        contrast = local_contrast(inputs) if contrast is None else contrast
        if images.same(contrast, case.image_sha256):
            return case
    return None
