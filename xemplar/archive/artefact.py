"""Writes artefacts atomically and computes their digests.

Artefacts may show patients, so they are private to this user (see `xemplar.archive.permissions`).
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from xemplar.archive.permissions import FILE, FOLDER, make_folder, private
from xemplar.archive.storage_errors import writing_files
from xemplar.errors import ConfigurationError

SWEEP_SECONDS = 10


def digest_of(value: Any) -> str:
    """Compute the sha256 hex digest of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def length_prefixed(*fields: str) -> bytes:
    """Concatenate fields, each prefixed with its length, so that the encoding is injective.

    Without lengths, "a:1" of "clinic" and "1" of "clinic:a" would hash to the same digest.
    """
    parts = [field.encode(errors="surrogateescape") for field in fields]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def file_digest(path: Path) -> str:
    """Compute the sha256 hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically: to a temporary file, fsynced, then renamed over it.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that replaces ``path`` atomically on success.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    beside = _beside(path)
    with writing_files(path.parent):
        make_folder(path.parent)
        try:
            with open(beside, "xb", opener=private) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            with suppress(OSError):  # the first error is the one to report
                beside.unlink(missing_ok=True)
            raise
        sync_path(path.parent)


@contextmanager
def new_folder(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Create a folder atomically: yield a temporary folder, renamed on success.

    Args:
        path: path of the folder.
        shared: whether other users may read it, subject to the umask; for data without patients.

    Raises:
        ConfigurationError: the folder exists already.
        StorageError: the disk is full, read-only or fails.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already; choose another folder or remove it")
    with writing_files(path.parent), _locked(_beside(path), shared=shared) as beside:
        yield beside
        for inside in (*beside.rglob("*"), beside):
            if not shared:
                inside.chmod(FOLDER if inside.is_dir() else FILE)
            sync_path(inside)
        beside.rename(path)
        sync_path(path.parent)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a hidden temporary folder, removed on exit; also removes those of killed processes.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    with writing_files(parent):
        make_folder(parent)
        sweep(parent)
        with _locked(_beside(parent / "scratch")) as scratch:
            yield scratch


@contextmanager
def _locked(folder: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a new folder, locked while this process lives (see `sweep`); removed unless renamed."""
    if shared:
        folder.mkdir(parents=True)
    else:
        make_folder(folder)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def sweep(parent: Path) -> None:
    """Remove temporary folders of `new_folder` and `scratch_folder` left by killed processes.

    Keeps folders locked by a running process, and those younger than `SWEEP_SECONDS`, whose
    process may not have locked them yet.
    """
    for path in parent.glob(".*"):
        if not path.is_dir() or time.time() - path.stat().st_mtime < SWEEP_SECONDS:
            continue
        held = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(path)
        finally:
            os.close(held)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def sync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
