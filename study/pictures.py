"""Decodes images as the index job does: unreadable ones, small copies, near-duplicates."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.data.datasets import DatasetImage
from xemplar.data.membership import (
    SAME_SIGNS,
    contrasts,
    equal_signs,
    projections_of,
    signs_of,
)
from xemplar.errors import InputError
from xemplar.imaging import Limits, Radiograph
from xemplar.imaging.decoder_pool import decoder
from xemplar.imaging.local_contrast import SAME_IMAGE, SIDE, Contrast, likeness, local_contrast
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

SECONDS = 60
"""Decoding timeout per image, as in the index job."""

BLOCK = 2048
"""Images that are compared with all others at once."""

REMEMBERED = 4096
"""Contrasts kept while pairs are compared: 50 kB each."""

SPEC = PreprocessSpec()
"""Network input of the shipped checkpoint, on which copies are recognised."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
        index: of the image among those asked for.
        view: from a DICOM header, as sex and age are; None if unknown.
        sex: "F", "M" or None.
        age: in years, or None.
        size: (width, height) in pixels of the upright image.
        warnings: sentences about doubtful properties of the file.
        small: uint8 (`SIDE`, `SIDE`), the network's input reduced: what copies are recognised by.
    """

    index: int
    view: str | None
    sex: str | None
    age: int | None
    size: tuple[int, int]
    warnings: tuple[str, ...]
    small: npt.NDArray[np.uint8]

    @property
    def thumbnail(self) -> bytes:
        """JPEG of `SIDE` pixels a side, for a contact sheet."""
        return bytes(cv2.imencode(".jpg", self.small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that show the same picture.

    Attributes:
        one: index of an image among those asked for.
        other: of the other, larger.
        likeness: correlation of local contrast, in [-1, 1].
    """

    one: int
    other: int
    likeness: float


def spread(count: int, most: int) -> list[int]:
    """Choose up to ``most`` of ``count`` indices, evenly spread."""
    return sorted({int(index) for index in np.linspace(0, count - 1, min(count, most))})


def read_pictures(
    images: Sequence[DatasetImage],
    chosen: Sequence[int],
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[Picture], list[tuple[int, str]]]:
    """Decode images; returns the pictures, and (index, reason) of those that cannot be used.

    Args:
        images: of one or several data sets.
        chosen: indices of those to decode, ascending.
        on_progress: called with the number decoded.
    """
    pictures, unusable = list[Picture](), list[tuple[int, str]]()
    if not chosen:
        return pictures, unusable
    workers = min(os.cpu_count() or 2, 8)
    with decoder(workers, Limits(), SECONDS) as decode, ThreadPoolExecutor(workers) as threads:

        def read(index: int) -> Picture | tuple[int, str]:
            try:
                return _picture(index, decode(images[index].path.read_bytes()))
            except InputError as error:
                return index, str(error)
            except OSError as error:
                return index, error.strerror or "it cannot be read"

        for done, one in enumerate(threads.map(read, chosen), 1):
            if isinstance(one, Picture):
                pictures.append(one)
            else:
                unusable.append(one)
            on_progress(done)
    return pictures, unusable


def near_duplicates(pictures: Sequence[Picture]) -> list[NearDuplicate]:
    """Find pairs of pictures that show the same image, in whatever format, size or window.

    Signs of random projections propose pairs, local contrast decides.
    """
    found = []

    @lru_cache(REMEMBERED)
    def contrast(place: int) -> Contrast:
        return local_contrast(pictures[place].small)

    for one, other in _alike(pictures):
        measured = likeness(contrast(one), contrast(other))
        if measured >= SAME_IMAGE:
            found.append(NearDuplicate(pictures[one].index, pictures[other].index, measured))
    return found


def _alike(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    projections = projections_of(b"inspection")
    blocks = range(0, len(pictures), BLOCK)
    signs = [
        signs_of(contrasts([one.small for one in pictures[begin : begin + BLOCK]]), projections)
        for begin in blocks
    ]
    for row, begin in enumerate(blocks):
        for column, start in enumerate(blocks):
            if column >= row:
                pairs = np.argwhere(equal_signs(signs[row], signs[column]) >= SAME_SIGNS)
                yield from (
                    (begin + int(one), start + int(other))
                    for one, other in pairs
                    if begin + one < start + other
                )


def _picture(index: int, radiograph: Radiograph) -> Picture:
    inputs = preprocess(radiograph, SPEC)
    return Picture(
        index,
        radiograph.view,
        radiograph.sex,
        radiograph.age,
        radiograph.source_size[::-1],
        radiograph.warnings,
        np.asarray(cv2.resize(inputs, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8),
    )
