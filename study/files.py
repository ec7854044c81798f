"""Facts that the ends of image files tell: format, size, digest. No pixel is decoded."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from xemplar.archive.artefact import file_digest
from xemplar.imaging.dicom.part10 import is_dicom

HEAD = 16 * 1024
"""First bytes that are read of a file; hold the sizes of PNG and of nearly all JPEG files."""

TAIL = 4 * 1024


@dataclass(frozen=True)
class FileFacts:
    """Properties told by the first and last bytes of an image file.

    Attributes:
        path: the file.
        format: "PNG", "JPEG", "TIFF", "DICOM"; "unknown" if its content is none of them.
        size: (width, height) in pixels as stored; None if the first bytes do not tell.
        digest: of the length and the ends of the file; equal for copies, and rarely for others.
    """

    path: Path
    format: str
    size: tuple[int, int] | None
    digest: bytes


def read_facts(
    paths: Iterable[Path], on_progress: Callable[[int], None] = lambda _: None
) -> tuple[list[FileFacts], list[tuple[Path, str]]]:
    """Read the facts of files; returns those of readable ones, and (path, reason) of the others."""
    found, unreadable = list[FileFacts](), list[tuple[Path, str]]()
    for done, path in enumerate(paths, 1):
        try:
            found.append(_facts(path))
        except FileNotFoundError:
            unreadable.append((path, "there is no such file"))
        except OSError as error:
            unreadable.append((path, error.strerror or "it cannot be read"))
        if done % 100 == 0:
            on_progress(done)
    if found or unreadable:
        on_progress(len(found) + len(unreadable))
    return found, unreadable


def _facts(path: Path) -> FileFacts:
    with path.open("rb") as file:
        head = file.read(HEAD)
        length = file.seek(0, 2)
        file.seek(max(length - TAIL, 0))
        tail = file.read()
    digest = hashlib.blake2b(length.to_bytes(8, "big") + head + tail, digest_size=16).digest()
    if is_dicom(head[:256]):
        return FileFacts(path, "DICOM", None, digest)
    refused = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
    with suppress(*refused), Image.open(BytesIO(head)) as image:
        kind = "JPEG" if image.format == "MPO" else image.format or "unknown"
        return FileFacts(path, kind, image.size, digest)
    kind = "TIFF" if head[:4] in (b"II*\0", b"MM\0*") else "unknown"
    return FileFacts(path, kind, None, digest)


def copies(facts: Sequence[FileFacts]) -> list[tuple[Path, ...]]:
    """Find groups of files that are equal byte for byte."""
    alike = defaultdict[bytes, list[Path]](list)
    for one in facts:
        alike[one.digest].append(one.path)
    equal = defaultdict[str, list[Path]](list)
    for paths in alike.values():
        if len(paths) > 1:
            for path in paths:
                equal[file_digest(path)].append(path)
    return [tuple(paths) for paths in equal.values() if len(paths) > 1]
