"""Finds the images and tables in a data set's folder, and resolves image names to paths.

Follows links only within the folder; never opens pipes or devices.
"""

import os
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from xemplar.data.csv_table import READABLE
from xemplar.data.workbook import OTHER_WORKBOOKS
from xemplar.errors import DatasetError
from xemplar.imaging.dicom.part10 import is_dicom

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"})

TABLE_SUFFIXES = frozenset({".json", ".jsonl", ".parquet", ".feather"} | READABLE | OTHER_WORKBOOKS)
"""Of files that may hold labels, whether they are read or to be saved as another format."""

HIDDEN = (".", "~$")
"""Beginnings of names of files that are passed over; the second is Excel's, beside open tables."""

NOT_LABELS = frozenset(
    {"boxes.csv", "BBox_List_2017.csv", "stage_2_train_labels.csv", "severity.csv"}
)
"""Tables without labels, read by `xemplar.data.boxes` and the evaluator."""

IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
"""Magic numbers of PNG, JPEG and TIFF."""

START = 256
"""Bytes needed to recognise a DICOM file, with or without its 128-byte preamble (PS3.10, 7.1)."""


@dataclass(frozen=True)
class FolderContents:
    """Files of a folder and its subfolders.

    Attributes:
        images: images, by suffix or content, sorted.
        tables: files that may contain labels, sorted.
        skipped: reason -> number of other files.
    """

    images: tuple[Path, ...]
    tables: tuple[Path, ...]
    skipped: Mapping[str, int]


def scan_folder(root: Path) -> FolderContents:
    """Classify the files of a folder as images, tables and others.

    Files with an image suffix count as images; of others, the first `START` bytes are read.
    """
    images, tables, skipped = list[Path](), list[Path](), Counter[str]()
    for path, fault in _files(root):
        reason = fault or ("table" if path.suffix.lower() in TABLE_SUFFIXES else _no_image(path))
        if reason:
            skipped[reason] += 1
        else:
            images.append(path)
        if reason == "table":
            tables.append(path)
    return FolderContents(
        tuple(sorted(images)), tuple(sorted(tables)), dict(sorted(skipped.items()))
    )


class ImageLocator:
    """Finds the images named in a label file.

    Attributes:
        elsewhere: number of images found in another folder than named.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = root.resolve()
        self._holds = cache(partial(_is_inside, self._real))
        self._by_name: Mapping[str, list[Path]] | None = None
        self.elsewhere = 0

    def find(self, name: str, where: str, folder: str = "") -> Path:
        r"""Find the path of a named image.

        If no file has this exact name, searches all folders, also without the suffix.

        An absolute path of another computer, as C:\images\1.png, is searched for by its ending.

        Args:
            name: relative to the data set's folder, or an absolute path.
            where: file and line, for messages.
            folder: default folder of images whose name has none.

        Returns:
            A path in the data set; for a missing file, its expected path.

        Raises:
            DatasetError: it is outside the data set, a pipe or device, or ambiguous.
        """
        relative = self._relative(name, where)
        try:
            path = self._locate(name, relative, where, folder)
            linked = path.is_symlink()
            readable = path.is_file() or path.is_dir() or not path.exists()
        except OSError as error:  # such as a name that is too long
            raise DatasetError(
                f"{where}: image {name[:200]!r} cannot be searched for: {error.strerror}"
            ) from error
        if not self._holds(path.parent) or (linked and not self._holds(path)):
            raise DatasetError(
                f"{where}: image {name!r} does not lie in the data set: it is a link to elsewhere"
            )
        if not readable:  # reading it could block forever
            raise DatasetError(f"{where}: image {name!r} is a pipe or device, and no file")
        return path

    def name_of(self, path: Path, written: str) -> str:
        """Name an image within the data set: as written, or relative if written as absolute."""
        if "\\" in written or Path(written).is_absolute() or PureWindowsPath(written).drive:
            return path.relative_to(self._root).as_posix()
        return written

    def _locate(self, name: str, relative: str, where: str, folder: str) -> Path:
        path = self._root / relative
        if path.is_file():
            return path
        within = self._root / folder / relative
        return within if within.is_file() else self._elsewhere(name, relative, where) or within

    def _relative(self, name: str, where: str) -> str:
        path = os.path.normpath(name.replace("\\", "/")) if name else "."
        if path.startswith("/") or PureWindowsPath(name).drive:
            roots = (self._root.absolute(), self._real)
            within = next(
                (os.path.relpath(path, r) for r in roots if r in Path(path).parents), None
            )
            path = within or self._ending(path) or ".."
        if path in (".", "..") or path.startswith("../"):
            raise DatasetError(f"{where}: image {name!r} does not lie in the data set")
        return path

    def _ending(self, path: str) -> str | None:
        """Find the longest ending of another computer's path that lies in this folder; or None."""
        parts = PurePosixPath(path).parts[1:]
        if not parts or Path(path).exists():  # that very file is meant, and it lies elsewhere
            return None
        endings = ("/".join(parts[start:]) for start in range(len(parts)))
        found = next((ending for ending in endings if (self._root / ending).is_file()), None)
        return found or (parts[-1] if _key(parts[-1]) in self._names() else None)

    def _names(self) -> Mapping[str, list[Path]]:
        if self._by_name is None:
            self._by_name = _by_name(self._root)
        return self._by_name

    def _elsewhere(self, name: str, relative: str, where: str) -> Path | None:
        """Search all folders whose path ends like the name's for this file name or stem."""
        wanted = PurePosixPath(relative)
        folders = tuple(map(_key, wanted.parts[:-1]))
        named = self._names().get(_key(wanted.name), [])
        found = [p for p in named if not folders or _folders(p)[-len(folders) :] == folders]
        if len(found) > 1:
            raise DatasetError(
                f"{where}: image {name!r} could be {found[0]} or {found[1]}; name it with its "
                "folder"
            )
        self.elsewhere += sum(_folders(p) != _folders(self._root / relative) for p in found)
        return found[0] if found else None


def _key(name: str) -> str:
    """Return a name in the form that macOS and other systems share (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(map(_key, path.parent.parts))


def _by_name(root: Path) -> Mapping[str, list[Path]]:
    """Map file names (`_key`) to paths; images are also listed by stem."""
    found = defaultdict[str, list[Path]](list)
    for path, fault in _files(root):
        if not fault:
            for name in {path.name, path.stem if path.suffix.lower() in SUFFIXES else path.name}:
                found[_key(name)].append(path)
    return found


def _is_inside(root: Path, path: Path) -> bool:
    """Check that a path, with all links resolved, is inside a folder (given by its real path)."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link cycle
        return False


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder and the reason not to open it; empty if there is none."""
    real = root.resolve()
    unreadable = list[OSError]()
    for folder, inner, names in os.walk(root, onerror=unreadable.append):
        current = Path(folder)
        yield from ((current / name, "hidden") for name in inner if name.startswith("."))
        links = [name for name in inner if (current / name).is_symlink()]
        yield from ((current / name, "link to a folder") for name in links)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from ((current / name, _fault(current / name, real)) for name in names)
    yield from ((Path(str(error.filename)), "folder that may not be read") for error in unreadable)


def _fault(path: Path, root: Path) -> str:
    if path.name.startswith(HIDDEN):
        return "hidden"
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        if path.is_symlink() and not _is_inside(root, path):
            return "link out of the folder"
    except OSError:
        return "broken link" if path.is_symlink() else "file that may not be read"
    return "" if regular else "pipe, device or socket"


def _no_image(path: Path) -> str:
    """Explain why a file is not an image; empty if its first bytes look like one."""
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


def regular_files(root: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Yield the files below a folder with one of some suffixes (lower case), in order of folders.

    Hidden files, pipes, devices and links out of the folder are left out.
    """
    for path, fault in _files(root):
        if not fault and path.suffix.lower() in suffixes:
            yield path
