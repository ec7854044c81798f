"""Stores two images per case, named by the sha256 of the radiograph's original bytes.

Both are made from decoded pixels, so that nothing of the header survives::

    media/ab/<sha256>.jpg                 display copy: grey JPEG, longer side at most 1024 px
    media/ab/<sha256>.<spec digest>.png   the network's input, lossless

The second one allows a forward pass for similarity evidence without the original image.
"""

import ctypes
import math
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import sync_path, write_file
from xemplar.archive.permissions import make_folder, write_private
from xemplar.archive.storage_errors import writing_files
from xemplar.errors import CorruptArtefact, InvalidArgument, NotFound
from xemplar.imaging import DISPLAY_SIDE, Radiograph
from xemplar.imaging.overlay import shrink
from xemplar.imaging.preprocess import PreprocessSpec

JPEG_QUALITY = 90
JPEG = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
)
"""20 kB in 1.4 ms for inputs of 224 x 224 pixels. PNG's default search for repetitions takes 1.7 ms
and yields 24 kB, as image noise does not repeat."""


class Media:
    """The folder of stored images. Safe to share between threads and processes.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self,
        radiograph: Radiograph,
        inputs: npt.NDArray[np.uint8],
        spec: PreprocessSpec,
        *,
        durable: bool = False,
    ) -> None:
        """Write both images of a radiograph, replacing existing ones.

        Args:
            radiograph: the decoded image.
            inputs: uint8 (size, size), its network input from `preprocess`.
            spec: the preprocessing.
            durable: whether to fsync each file; for many images, one `sync` at the end is faster.

        Raises:
            InvalidArgument: shape or dtype of the input do not match the spec.
            StorageError: the disk is full, read-only or fails.
        """
        if inputs.dtype != np.uint8 or inputs.shape != (spec.size, spec.size):
            raise InvalidArgument(
                f"the input to keep is {inputs.dtype} {inputs.shape}, "
                f"not uint8 ({spec.size}, {spec.size})"
            )
        display = shrink(radiograph.pixels, DISPLAY_SIDE)
        sha256 = radiograph.sha256
        write = write_file if durable else _write
        write(self._display_path(sha256), cv2.imencode(".jpg", display, JPEG)[1].data)
        write(self._input_path(sha256, spec), cv2.imencode(".png", inputs, PNG)[1].data)

    def remove(self, sha256: str) -> None:
        """Delete all images of a radiograph, for every preprocessing, durably.

        No effect if there are none. Also removes temporary files left by a killed process.

        Raises:
            StorageError: the disk is read-only or fails.
        """
        folder = self._folder(sha256)
        found = [*self.files(sha256), *folder.glob(f".{sha256}.*")]
        with writing_files(folder):
            for path in found:
                path.unlink(missing_ok=True)
            if found:
                sync_path(folder)

    def files(self, sha256: str) -> list[Path]:
        """List all images of a radiograph, for every preprocessing, sorted by name."""
        return sorted(self._folder(sha256).glob(f"{sha256}.*"))

    def untouched_for(self, seconds: float) -> Iterator[frozenset[str]]:
        """Yield digests of images whose files are all at least this old, one folder at a time."""
        latest = time.time() - seconds
        for folder in self.root.glob("[0-9a-f]" * 2):
            files = [(path.name.lstrip(".")[:64], _changed(path)) for path in folder.iterdir()]
            young = {sha256 for sha256, changed in files if changed > latest}
            yield frozenset(sha256 for sha256, _ in files) - young

    def sync(self) -> None:
        """Flush everything written so far to disk.

        A killed process loses nothing, as written pages are in the kernel and renames are atomic.
        Only a power cut can leave a renamed file empty. An fsync for each of an image's two small
        files would take longer than its forward pass, so the file system is synced once, before an
        index is published. Files damaged by an earlier power cut are detected by the next run of
        the job (`has`) and rewritten.
        """
        with writing_files(self.root):
            make_folder(self.root)
            self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            # Linux's syncfs flushes only this file system; Python offers only sync, for all
            libc = ctypes.CDLL(None, use_errno=True)
            if not hasattr(libc, "syncfs"):
                os.sync()
            elif libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self.root))
        finally:
            os.close(descriptor)

    def has(self, sha256: str, spec: PreprocessSpec) -> bool:
        """Check that both images of a radiograph exist and are not empty (see `sync`)."""
        return all(
            path.is_file() and path.stat().st_size > 0
            for path in (self._display_path(sha256), self._input_path(sha256, spec))
        )

    def display_bytes(self, sha256: str) -> bytes:
        """Read the display copy as a JPEG file.

        Raises:
            NotFound: no image with this digest is stored.
        """
        return _read(self._display_path(sha256))

    def display(self, sha256: str) -> npt.NDArray[np.uint8]:
        """Read the display copy, uint8 (height, width), 0 black to 255 white.

        Raises:
            NotFound: no image with this digest is stored.
            CorruptArtefact: the file is damaged.
        """
        return _decode(self._display_path(sha256))

    def input(self, sha256: str, spec: PreprocessSpec) -> npt.NDArray[np.uint8]:
        """Read the network's input, uint8 (size, size), bit for bit.

        Raises:
            NotFound: no image with this digest is stored for this preprocessing.
            CorruptArtefact: the file is damaged, or its size does not match the spec.
        """
        path = self._input_path(sha256, spec)
        picture = _decode(path)
        if picture.shape != (spec.size, spec.size):
            raise CorruptArtefact(
                f"{path} has shape {picture.shape}, its preprocessing says "
                f"({spec.size}, {spec.size}); remove it and run `xemplar index` again"
            )
        return picture

    def _display_path(self, sha256: str) -> Path:
        return self._folder(sha256) / f"{sha256}.jpg"

    def _input_path(self, sha256: str, spec: PreprocessSpec) -> Path:
        return self._folder(sha256) / f"{sha256}.{spec.digest[:12]}.png"

    def _folder(self, sha256: str) -> Path:
        # an untrusted digest must not escape the folder
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise NotFound(f"{sha256[:70]!r} is no sha256 digest of an image (64 hex digits)")
        return self.root / sha256[:2]


def _changed(path: Path) -> float:
    """Modification time of a file (Unix time); infinity if another process has just moved it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _write(path: Path, content: memoryview) -> None:
    """Write to a temporary file and rename it; not synced (see `Media.sync`)."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with writing_files(path.parent):
        try:
            _write_beside(beside, content)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def _write_beside(path: Path, content: memoryview) -> None:
    try:
        write_private(path, content)
    except FileNotFoundError:
        make_folder(path.parent)
        write_private(path, content)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no picture {path.name}; index its image again with this checkpoint"
        ) from error


def _decode(path: Path) -> npt.NDArray[np.uint8]:
    """Read a grey image, uint8 (height, width)."""
    content = _read(path)
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None  # raised by OpenCV for an empty file
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise CorruptArtefact(
            f"{path} is damaged; remove it and run `xemplar index` on its image again"
        )
    return np.asarray(picture, np.uint8)
