"""First stage of the index job: reads image files into network inputs, in several threads."""

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from xemplar.archive.media import Media
from xemplar.data.datasets import DatasetImage
from xemplar.errors import ImageTooLarge, InputError, UnreadableImage
from xemplar.imaging import Limits, Radiograph, decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.retrieval.ingest import PreparedImage
from xemplar.retrieval.references import StudyReferences

MISSING = "there is no such file"

OTHER_PART = (
    "the DICOM header says that it shows {part}, not a chest; use `--any-body-part` to index it "
    "anyway"
)

BURNED_IN = (
    "the DICOM header says that it contains burned-in text, which may name the patient; use "
    "`--burned-in-text` to index it anyway"
)


@dataclass(frozen=True)
class SkippedImage:
    """A skipped image and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True)
class KnownImage:
    """An image already embedded by this checkpoint."""

    image: DatasetImage
    sha256: str
    reference: bytes | None = None
    shifted_day: int | None = None


@dataclass(frozen=True, eq=False)
class NewImage:
    """An image to embed, whose pictures are written."""

    image: DatasetImage
    prepared: PreparedImage
    reference: bytes | None = None
    shifted_day: int | None = None

    @property
    def sha256(self) -> str:
        """Hex digest of the image's original bytes."""
        return self.prepared.sha256


Read: TypeAlias = NewImage | KnownImage | SkippedImage


Load: TypeAlias = Callable[[DatasetImage], tuple[DatasetImage, bytes]]
"""Reads an image's bytes; returns them with the image, completed by what they say themselves."""


def load_file(image: DatasetImage) -> tuple[DatasetImage, bytes]:
    """Read an image's file, refusing one above the size limit before it fills the memory.

    The folder may have changed since it was listed: reading must not block on a pipe or an endless
    file.

    Raises:
        ImageTooLarge, UnreadableImage: the file is too large, or none.
        OSError: it cannot be read.
    """
    limit = Limits().max_bytes
    with open(image.path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("it is a pipe or device, not a file")
        data = b"" if status.st_size > limit else file.read(limit + 1)
    if (size := max(status.st_size, len(data))) > limit:
        raise ImageTooLarge(f"the file has {size:,} bytes; the limit is {limit:,}")
    return image, data


class Reader:
    """Reads images into network inputs; called by several threads.

    Where references to studies or their days are kept, each image has its own, sealed or shifted.
    """

    def __init__(
        self,
        media: Media,
        spec: PreprocessSpec,
        known: frozenset[str],
        *,
        any_body_part: bool = False,
        burned_in_text: bool = False,
        decode: Callable[[bytes], Radiograph] = decode,
        load: Load = load_file,
        references: StudyReferences | None = None,
    ) -> None:
        self._decode = decode
        self._load = load
        self._references = references
        self._any_body_part = any_body_part
        self._burned_in_text = burned_in_text
        self._media = media
        self._spec = spec
        self._known = known

    def __call__(self, image: DatasetImage) -> Read:
        """Read an image, and write its pictures unless it is known."""
        try:
            image, data = self._load(image)
            sha256 = hashlib.sha256(data).hexdigest()
            kept = self._of_study(image, data, sha256)
            # a known image whose pictures were lost is processed again
            if sha256 in self._known and self._media.has(sha256, self._spec):
                return KnownImage(image, sha256, *kept)
            radiograph = self._decode(data)
        except FileNotFoundError:
            return SkippedImage(image.path, MISSING)
        except IsADirectoryError:
            return SkippedImage(image.path, "it is a folder, not a file")
        except PermissionError:
            return SkippedImage(image.path, "this user may not read the file")
        except InputError as error:
            return SkippedImage(image.path, str(error))
        if radiograph.body_part is not None and not self._any_body_part:
            return SkippedImage(image.path, OTHER_PART.format(part=radiograph.body_part))
        if radiograph.burned_in and not self._burned_in_text:
            return SkippedImage(image.path, BURNED_IN)
        inputs = preprocess(radiograph, self._spec)
        self._media.write(radiograph, inputs, self._spec)
        return NewImage(image, PreparedImage.of(radiograph, inputs), *kept)

    def _of_study(
        self, image: DatasetImage, data: bytes, sha256: str
    ) -> tuple[bytes | None, int | None]:
        """Return what is kept of an image's study: the sealed reference and the shifted day."""
        kept = self._references
        if kept is None:
            return None, None
        patient = kept.store.pseudonym(image.domain, image.patient) if image.patient else None
        return kept.seal(data, sha256), kept.shifted_day(data, patient)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without blocking on a pipe (an ``opener`` for `open`)."""
    return os.open(path, flags | os.O_NONBLOCK)


def in_order(
    read: Reader, images: Iterable[DatasetImage], workers: int, ahead: int
) -> Iterator[Read]:
    """Read images in several threads, yielding them in their original order.

    Args:
        read: applied to each image.
        images: consumed lazily.
        workers: number of threads.
        ahead: number of images read in advance, to bound memory.
    """
    pool = ThreadPoolExecutor(workers, "reader")
    coming = iter(images)
    try:
        waiting = deque(pool.submit(read, image) for image in islice(coming, ahead))
        while waiting:
            item = waiting.popleft().result()
            waiting.extend(pool.submit(read, image) for image in islice(coming, 1))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
