"""Errors of the file system as errors of the domain: full, read-only, failing disks."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from xemplar.errors import ReadOnlyStorage, StorageError, StorageFailed, StorageFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOM = 1 << 20
"""Bytes: more than the pictures of a case."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
FAILED = (errno.EIO, errno.ESTALE)


@contextmanager
def writing_files(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses meanwhile into a `StorageError` that names the folder.

    Raises:
        StorageError: the disk is full, read-only or fails. Other errors pass as they are.
    """
    try:
        yield
    except OSError as error:
        known = storage_error(error, folder)
        if known is None:
            raise
        raise known from error


def check_room(folder: Path) -> None:
    """Refuse a folder that would not take a file, by writing one that has no name.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    with writing_files(folder), TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))


def storage_error(error: OSError, folder: Path | None = None) -> StorageError | None:
    """The error of the domain that an error of the file system stands for.

    Args:
        error: as the file system gave it.
        folder: what was written to, where the error does not name a file.

    Returns:
        None where it is neither the disk's fault nor its state, as for a file that is missing.
    """
    where = error.filename or folder or "the disk"
    if error.errno in FULL:
        return StorageFull(
            f"no room is left for {where} ({os.strerror(error.errno)}); make room, or raise the "
            "quota, and try again"
        )
    if error.errno in READ_ONLY:
        return ReadOnlyStorage(
            f"{where} cannot be used ({os.strerror(error.errno)}); mount it writable, or give this "
            "user the right to read and write there"
        )
    if error.errno in FAILED:
        return StorageFailed(
            f"the disk fails at {where} ({os.strerror(error.errno)}); look at the system's log"
        )
    return None
