"""Translates file system errors to domain errors: full, read-only or failing disks."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from xemplar.errors import ReadOnlyStorage, StorageError, StorageFailed, StorageFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOM = 1 << 20
"""Bytes written by `check_room`; more than the stored images of a case."""

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
FAILED = (errno.EIO, errno.ESTALE)


@contextmanager
def writing_files(folder: Path) -> Iterator[None]:
    """Translate file system errors in this context to a `StorageError` that names the folder.

    Raises:
        StorageError: the disk is full, read-only or fails. Other errors pass unchanged.
    """
    try:
        yield
    except OSError as error:
        known = storage_error(error, folder)
        if known is None:
            raise
        raise known from error


def check_room(folder: Path) -> None:
    """Check that a folder accepts new files, by writing an anonymous temporary file.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    with writing_files(folder), TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))


def storage_error(error: OSError, folder: Path | None = None) -> StorageError | None:
    """Translate a file system error to a domain error.

    Args:
        error: the file system's error.
        folder: the destination, used if the error does not name a file.

    Returns:
        None if the disk is not the cause, as with a missing file.
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
            f"the disk fails at {where} ({os.strerror(error.errno)}); check the system's log"
        )
    return None
