"""File permissions: new files and folders are private to the user, regardless of the umask."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = stat.S_IRWXU, stat.S_IRUSR | stat.S_IWUSR
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(path: Path) -> None:
    """Create a private folder and its missing parents; existing folders are unchanged."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(FOLDER, exist_ok=True)


def private(path: str, flags: int) -> int:
    """Open a file, private if new; the ``opener`` argument of `open`."""
    return os.open(path, flags, FILE)


def write_private(path: Path, content: bytes | memoryview) -> None:
    """Write a new private file."""
    with open(path, "xb", opener=private) as file:
        file.write(content)


def make_file(path: Path) -> None:
    """Create an empty private file; no effect if it exists or cannot be created.

    For files opened by libraries: SQLite gives its auxiliary files the database's permissions.
    """
    with suppress(OSError):  # opening it will report the reason
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


def close_to_others(folder: Path) -> list[Path]:
    """Remove the permissions of group and others from a folder and its contents.

    Skips the contents of subfolders that are already private. Does not follow links.

    Returns:
        Paths that remain accessible: owned by another user, or on a read-only file system.
    """
    return list(_close(folder))


def _close(folder: Path) -> Iterator[Path]:
    try:
        inside = list(os.scandir(folder))
    except OSError:  # reading it will report the reason
        inside = []
    for entry in inside:
        path = Path(entry)
        if entry.is_symlink():
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield from _close_one(path)
        elif _mode(path) & OTHERS:
            yield from _close(path)
    yield from _close_one(folder)  # last: a private folder implies private contents


def _close_one(path: Path) -> Iterator[Path]:
    mode = _mode(path)
    if mode & OTHERS:
        try:
            path.chmod(mode & ~OTHERS)
        except FileNotFoundError:
            pass  # removed by another process
        except OSError:
            yield path


def _mode(path: Path) -> int:
    """Permissions of a file or folder; 0 if it no longer exists."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
