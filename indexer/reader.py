"""The job's first stage: an image's file -> the network's input, by several threads."""

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

OTHER_PART = (
    "the DICOM header says that it shows {part}, not a chest; `--any-body-part` indexes it all the "
    "same"
)

BURNED_IN = (
    "the DICOM header says that text is burnt into the picture, which may name the patient; "
    "`--burned-in-text` indexes it all the same"
)


@dataclass(frozen=True)
class SkippedImage:
    """An image that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class KnownImage:
    """An image that this checkpoint has embedded before."""

    image: DatasetImage
    sha256: str


@dataclass(frozen=True, eq=False)
class NewImage:
    """A radiograph that is to go through the network; its pictures are written."""

    image: DatasetImage
    prepared: PreparedImage

    @property
    def sha256(self) -> str:
        """Hex digest of the image's original bytes."""
        return self.prepared.sha256


Read: TypeAlias = NewImage | KnownImage | SkippedImage


class Reader:
    """The first stage, run by several threads: an image's bytes to the network's input."""

    def __init__(
        self,
        media: Media,
        spec: PreprocessSpec,
        known: frozenset[str],
        *,
        any_body_part: bool = False,
        burned_in_text: bool = False,
        decode: Callable[[bytes], Radiograph] = decode,
    ) -> None:
        self._decode = decode
        self._any_body_part = any_body_part
        self._burned_in_text = burned_in_text
        self._media = media
        self._spec = spec
        self._known = known
        self._limits = Limits()

    def __call__(self, image: DatasetImage) -> Read:
        """Read one radiograph, and write its pictures unless it is known already."""
        try:
            data = self._bytes(image.path)
            sha256 = hashlib.sha256(data).hexdigest()
            # a known radiograph whose pictures were lost goes the whole way again
            if sha256 in self._known and self._media.has(sha256, self._spec):
                return KnownImage(image, sha256)
            radiograph = self._decode(data)
        except FileNotFoundError:
            return SkippedImage(image.path, "there is no such file")
        except IsADirectoryError:
            return SkippedImage(image.path, "it is a folder, and no file")
        except PermissionError:
            return SkippedImage(image.path, "the file may not be read")
        except InputError as error:
            return SkippedImage(image.path, str(error))
        if radiograph.body_part is not None and not self._any_body_part:
            return SkippedImage(image.path, OTHER_PART.format(part=radiograph.body_part))
        if radiograph.burned_in and not self._burned_in_text:
            return SkippedImage(image.path, BURNED_IN)
        inputs = preprocess(radiograph, self._spec)
        self._media.write(radiograph, inputs, self._spec)
        return NewImage(image, PreparedImage.of(radiograph, inputs))

    def _bytes(self, path: Path) -> bytes:
        """A file's content; one above the limit is refused before it fills the memory.

        The folder was walked before, and may be another one by now: a pipe that took the place of
        a file must not be waited for, nor a file read that never ends.
        """
        limit = self._limits.max_bytes
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage("it is a pipe or device, and no file")
            data = b"" if status.st_size > limit else file.read(limit + 1)
        if (size := max(status.st_size, len(data))) > limit:
            raise ImageTooLarge(f"the file has {size:,} bytes; the limit is {limit:,}")
        return data


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file as ``opener`` of `open`; a pipe at once, whether it is written to or not."""
    return os.open(path, flags | os.O_NONBLOCK)


def in_order(
    read: Reader, images: Iterable[DatasetImage], workers: int, ahead: int
) -> Iterator[Read]:
    """Read images by several threads; gives them in the order in which they came.

    Args:
        read: applied to each image.
        images: read only as far as needed.
        workers: threads.
        ahead: images that may be read before their turn, so that memory stays bounded.
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
