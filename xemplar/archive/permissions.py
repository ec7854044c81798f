"""File permissions: what this software writes is for the user that runs it, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = stat.S_IRWXU, stat.S_IRUSR | stat.S_IWUSR
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that lack, for this user alone; one that is there stays."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(FOLDER, exist_ok=True)


def private(path: str, flags: int) -> int:
    """Opens a file that is for this user alone if it is new, as ``opener`` of `open`."""
    return os.open(path, flags, FILE)


def write_private(path: Path, content: bytes | memoryview) -> None:
    """Write a new file for this user alone."""
    with open(path, "xb", opener=private) as file:
        file.write(content)


def make_file(path: Path) -> None:
    """Make an empty file for this user alone, unless one is there or it cannot be made.

    For what others open: SQLite gives the files beside a database the permissions of that.
    """
    with suppress(OSError):  # whoever opens it tells why it cannot be used
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


def close_to_others(folder: Path) -> list[Path]:
    """Take the permissions of group and others from a folder and all that is in it.

    A folder within that is closed already is not looked into: nobody else comes through it. Links
    stay as they are.

    Returns:
        What stays open: it is another user's, or the file system is read-only.
    """
    return list(_close(folder))


def _close(folder: Path) -> Iterator[Path]:
    try:
        inside = list(os.scandir(folder))
    except OSError:  # whoever reads it tells why it cannot be used
        inside = []
    for entry in inside:
        path = Path(entry)
        if entry.is_symlink():
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield from _close_one(path)
        elif _mode(path) & OTHERS:
            yield from _close(path)
    yield from _close_one(folder)  # last: that it is closed says that what it holds is


def _close_one(path: Path) -> Iterator[Path]:
    mode = _mode(path)
    if mode & OTHERS:
        try:
            path.chmod(mode & ~OTHERS)
        except FileNotFoundError:
            pass  # another process has removed it
        except OSError:
            yield path


def _mode(path: Path) -> int:
    """Permissions of a file or folder; none where it is not there any more."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
