"""The files of a data set's folder: which are images, and where the image of a name lies.

Links are followed only to what lies in the folder; pipes and devices are never opened.
"""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from xemplar.errors import DatasetError
from xemplar.imaging.dicom.part10 import is_dicom

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"})

TABLES = frozenset(
    {".csv", ".tsv", ".tab", ".xlsx", ".xls", ".ods", ".json", ".jsonl", ".parquet", ".feather"}
)

BESIDE = frozenset({"boxes.csv", "BBox_List_2017.csv", "stage_2_train_labels.csv", "severity.csv"})
"""Tables of a data set that hold no labels: `xemplar.data.boxes` and the evaluator read them."""

IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
"""How PNG, JPEG and TIFF begin."""

START = 256
"""Bytes that tell a DICOM file, after a preamble of 128 (PS3.10, 7.1) or without one."""


@dataclass(frozen=True)
class Walked:
    """What lies in a folder and in those below it.

    Attributes:
        images: by suffix or by content, sorted.
        tables: files that may hold labels, sorted.
        skipped: reason -> how many other files.
    """

    images: tuple[Path, ...]
    tables: tuple[Path, ...]
    skipped: Mapping[str, int]


def walk(root: Path) -> Walked:
    """Sort the files of a folder into images, tables and others.

    A file with the suffix of an image is taken for one; any other is opened, for `START` bytes.
    """
    images, tables, skipped = list[Path](), list[Path](), Counter[str]()
    for path, fault in _files(root):
        reason = fault or ("table" if path.suffix.lower() in TABLES else _no_image(path))
        if reason:
            skipped[reason] += 1
        else:
            images.append(path)
        if reason == "table":
            tables.append(path)
    return Walked(tuple(sorted(images)), tuple(sorted(tables)), dict(sorted(skipped.items())))


class ImageFiles:
    """Finds the images that a label file names.

    Attributes:
        elsewhere: how many were found in another folder than the one that their name tells.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = root.resolve()
        self._holds = cache(partial(_lies_in, self._real))
        self._by_name: Mapping[str, list[Path]] | None = None
        self.elsewhere = 0

    def find(self, name: str, where: str, folder: str = "") -> Path:
        """The path of a named image.

        A name without such a file is looked for in all folders, and without its suffix.

        Args:
            name: relative to the data set's folder, or an absolute path in it.
            where: file and line, for messages.
            folder: where it should lie if it is not found directly under its name.

        Returns:
            A path in the data set; of a file that is missing, where it should lie.

        Raises:
            DatasetError: it lies elsewhere, is a pipe or device, or could be several.
        """
        relative = self._relative(name, where)
        try:
            path = self._place(name, relative, where, folder)
            linked = path.is_symlink()
            readable = path.is_file() or path.is_dir() or not path.exists()
        except OSError as error:  # as of a name that is too long
            raise DatasetError(
                f"{where}: image {name[:200]!r} cannot be looked for: {error.strerror}"
            ) from error
        if not self._holds(path.parent) or (linked and not self._holds(path)):
            raise DatasetError(
                f"{where}: image {name!r} does not lie in the data set: it is a link to elsewhere"
            )
        if not readable:  # to read it could last forever
            raise DatasetError(f"{where}: image {name!r} is a pipe or device, and no file")
        return path

    def name_of(self, path: Path, written: str) -> str:
        """The name of an image within the data set: as it is written, unless that is absolute."""
        if Path(written).is_absolute() or "\\" in written:
            return path.relative_to(self._root).as_posix()
        return written

    def _place(self, name: str, relative: str, where: str, folder: str) -> Path:
        path = self._root / relative
        if path.is_file():
            return path
        within = self._root / folder / relative
        return within if within.is_file() else self._elsewhere(name, relative, where) or within

    def _relative(self, name: str, where: str) -> str:
        path = os.path.normpath(name.replace("\\", "/")) if name else "."
        if path.startswith("/") or PureWindowsPath(name).drive:
            roots = (self._root.absolute(), self._real)
            path = next((os.path.relpath(path, r) for r in roots if r in Path(path).parents), "..")
        if path in (".", "..") or path.startswith("../"):
            raise DatasetError(f"{where}: image {name!r} does not lie in the data set")
        return path

    def _elsewhere(self, name: str, relative: str, where: str) -> Path | None:
        """The image of this name, or of it without a suffix, in a folder that ends as it does."""
        if self._by_name is None:
            self._by_name = _by_name(self._root)
        wanted = PurePosixPath(relative)
        folders = wanted.parts[:-1]
        named = self._by_name.get(wanted.name, [])
        found = [p for p in named if not folders or p.parent.parts[-len(folders) :] == folders]
        if len(found) > 1:
            raise DatasetError(
                f"{where}: image {name!r} could be {found[0]} or {found[1]}; name it with its "
                "folder"
            )
        self.elsewhere += len(found)
        return found[0] if found else None


def _by_name(root: Path) -> Mapping[str, list[Path]]:
    """The files of a folder by their names, images also by these without the suffix."""
    found = defaultdict[str, list[Path]](list)
    for path, fault in _files(root):
        if not fault:
            for name in {path.name, path.stem if path.suffix.lower() in SUFFIXES else path.name}:
                found[name].append(path)
    return found


def _lies_in(root: Path, path: Path) -> bool:
    """Whether a path leads into a folder (its real one), once all links are followed."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links
        return False


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a folder, and why it is not to be opened: empty where it may be."""
    real = root.resolve()
    barred = list[OSError]()
    for folder, inner, names in os.walk(root, onerror=barred.append):
        place = Path(folder)
        yield from ((place / name, "hidden") for name in inner if name.startswith("."))
        links = [name for name in inner if (place / name).is_symlink()]
        yield from ((place / name, "link to a folder") for name in links)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from ((place / name, _fault(place / name, real)) for name in names)
    yield from ((Path(str(error.filename)), "folder that may not be read") for error in barred)


def _fault(path: Path, root: Path) -> str:
    if path.name.startswith("."):
        return "hidden"
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        if path.is_symlink() and not _lies_in(root, path):
            return "link out of the folder"
    except OSError:
        return "broken link" if path.is_symlink() else "file that may not be read"
    return "" if regular else "pipe, device or socket"


def _no_image(path: Path) -> str:
    """Why a file is no image: empty where it is one, as far as its beginning tells."""
    if path.suffix.lower() in SUFFIXES:
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except OSError:
        return "file that may not be read"
    if is_dicom(start):
        return "DICOMDIR" if path.stem.upper() == "DICOMDIR" else ""
    return "" if start.startswith(IMAGE_STARTS) else "no image"
