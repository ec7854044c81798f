"""Backs up a store to one file while the service runs, and restores it.

The file is a tar archive with these entries, in order::

    had-keys                               there once an API key was made
    checkpoints/<sha256>.safetensors       of the live generation
    generations/<name>/                    the live one; the others can be built again. Of one in
                                           Milvus: the same cases, as files
    media/                                 pictures of all cases
    catalog.sqlite                         the catalog, whichever database it is kept in
    backup.json                            what is in it; a backup that was cut off has none

The key of the patients' pseudonyms is kept separately: with both, patients in the archive could be
identified by trying patient ids. `backup.json` contains a digest of all files before it and a code
computed from the digest with the key, so that a modified backup is never restored.

The backup is consistent while cases are added and removed: the catalog is copied after the live
generation is chosen, as in a store; pictures are on disk before the catalog refers to their case,
so those of all copied cases exist; and a case removed during the backup is also removed from the
copied catalog.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hmac import compare_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeGuard

from xemplar.archive.artefact import file_digest, scratch_folder, sync_path, write_file
from xemplar.archive.media import Media
from xemplar.archive.permissions import write_private
from xemplar.archive.store import KEY_BYTES, Store
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.copying import REFERENCES, apply_removals, copy_catalog, images
from xemplar.errors import ConfigurationError, Mismatch, StorageError
from xemplar.index import (
    build,
    check_cases,
    check_content,
    current,
    manifest_of,
    open_generation,
)
from xemplar.model.checkpoint import find, keep, load
from xemplar.operations.audit import audit_command

from .backup_archive import CATALOG, HAD_KEYS, KEY, Contents, unpack, writing_archive

LOG = logging.getLogger("xemplar")

PARTS = (KEY, HAD_KEYS, "checkpoints", "media", "generations")


def back_up(
    store: Store,
    database_url: str,
    out: IO[bytes],
    on_progress: Callable[[int, int], None] | None = None,
    otherwise: Path | None = None,
    *,
    with_references: bool = False,
) -> Contents:
    """Write a store and its catalog to a stream, after checking that they are usable.

    Args:
        store: may be in use. Needs space for a copy of the catalog; if it is read-only, the
            temporary folder does.
        database_url: of the catalog; SQLite or PostgreSQL.
        out: destination.
        on_progress: called with the numbers of completed and of all cases.
        otherwise: file of the live generation's checkpoint, if the store does not contain it and it
            is not the shipped one.
        with_references: whether to include the cases' sealed references to studies.

    Raises:
        NothingIndexed: there is no live generation.
        ConfigurationError: its checkpoint is missing.
        CorruptArtefact: the store is damaged.
        Mismatch: the catalog lacks cases of the live generation.
        StorageError: disk or database cannot be used now.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    live, media = current(store), Media(store.media)
    with _scratch(store) as scratch:
        copy = Store(scratch)
        without = () if with_references else REFERENCES
        copy_catalog(database_url, copy.database_url, without=without)
        index = store
        if store.index_url:
            index, live = copy, _index_files(store, live, copy, otherwise)
        checkpoint = _check_answers(index, live, copy, otherwise)
        # all pseudonyms in the copy were made with this key
        key = store.pseudonym_key.read_bytes() if store.pseudonym_key.is_file() else None
        _audit(database_url, "backup", live)
        with writing_archive(out) as archive:
            if store.had_keys.is_file():
                archive.add(store.had_keys, HAD_KEYS)
            digest = file_digest(checkpoint)
            archive.add(checkpoint, f"checkpoints/{store.checkpoint(digest).name}")
            for path in sorted((index.generations / live).iterdir()):
                archive.add(path, str(path.relative_to(index.root)))
            cases = 0
            for cases, (sha256, total) in enumerate(images(copy.database_url), start=1):
                for path in media.files(sha256):
                    with suppress(FileNotFoundError):  # the case was removed in the meantime
                        archive.add(path, str(path.relative_to(store.root)))
                if on_progress:
                    on_progress(cases, total)
            cases -= apply_removals(database_url, copy.database_url)
            archive.add(scratch / CATALOG, CATALOG)
            contents = Contents(created, live, cases, archive.pictures)
            contents = archive.finish(contents, key, scratch)
    return contents


def restore(
    source: IO[bytes],
    store: Store,
    database_url: str,
    otherwise: Path | None = None,
    *,
    key: bytes | None = None,
    without_key: bool = False,
) -> Contents:
    """Restore a store and its catalog from a backup.

    Atomic: an interrupted restore leaves an unusable store, and repeating the command completes it.
    Everything is unpacked into a hidden folder and checked there, then moved into place beside a
    file `Store.restoring`, which becomes `Store.current` once the catalog is written.

    Args:
        source: output of `back_up`.
        store: must be empty, except for remains of an interrupted restore.
        database_url: of an empty database; SQLite or PostgreSQL, whichever the original used.
        otherwise: file of the checkpoint, for a backup of an older version that lacks it, unless it
            is the shipped one.
        key: of the pseudonyms, `KEY_BYTES` of the original store.
        without_key: accept a missing key: later images of patients in the backup are then assigned
            to new patients.

    Raises:
        ConfigurationError: the store or the database is not empty, or the key is missing.
        CorruptArtefact: this is not a backup, or it is incomplete.
        Mismatch: the backup is from a newer version, inconsistent, or was not written with this
            key.
        StorageError: disk or database cannot be used now.
    """
    _refuse_occupied(store)
    again = store.restoring.is_file()
    with scratch_folder(store.root) as scratch:
        copy = Store(scratch)
        contents = unpack(source, scratch)
        if _is_key(key, contents, without_key=without_key):
            write_private(copy.pseudonym_key, key)
        migrate(copy.database_url, copy)  # the backup may be from an older version
        keep(_check_answers(copy, contents.generation, copy, otherwise), copy)
        Media(copy.media).sync()
        write_file(store.restoring, f"{contents.generation}\n".encode())
        for name in PARTS:
            _move(scratch / name, store.root / name)
        sync_path(store.root)
        copy_catalog(copy.database_url, database_url, again=again)
        _audit(database_url, "restore", contents.generation)
    store.restoring.replace(store.current)
    sync_path(store.generations)
    return contents


def _audit(database_url: str, action: str, generation: str) -> None:
    """Audit a command; continue if the database is read-only."""
    try:
        audit_command(database_url, action, generation)
    except StorageError as error:
        LOG.warning("the %s is not audited: %s", action, error.reason)


@contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """Create a scratch folder in the store, or elsewhere if the store is read-only."""
    if os.access(store.root, os.W_OK):
        with scratch_folder(store.root) as scratch:
            yield scratch
    else:
        with TemporaryDirectory(prefix="xemplar-") as name:
            yield Path(name)


def _index_files(store: Store, live: str, copy: Store, otherwise: Path | None) -> str:
    """Build the generation that Milvus holds as files: a backup is restored without a server.

    Returns:
        Name of the built generation, in ``copy``, which also receives its checkpoint.
    """
    manifest = manifest_of(store, live)
    path = find(manifest.checkpoint, store, *([otherwise] if otherwise else []))
    checkpoint = load(path)
    keep(path, copy)
    with open_catalog(copy.database_url) as catalog:
        source = partial(catalog.vectors, checkpoint.digest)
        return build(copy, checkpoint, source, calibration=manifest.calibration).name


def _check_answers(store: Store, name: str, copy: Store, otherwise: Path | None) -> Path:
    """Refuse an unusable store; return the file of the generation's checkpoint.

    Args:
        store: contains the generation and possibly its checkpoint.
        name: of the generation.
        copy: contains the catalog.
        otherwise: see `back_up`.
    """
    manifest = check_content(store, name)
    path = find(manifest.checkpoint, store, *([otherwise] if otherwise else []))
    with open_catalog(copy.database_url) as catalog:
        check_cases(open_generation(store, load(path), name), catalog)
    return path


def _is_key(key: bytes | None, contents: Contents, *, without_key: bool) -> TypeGuard[bytes]:
    """Return whether a backup's key is given; refuse a wrong or missing one.

    Args:
        key: as given.
        contents: of the backup.
        without_key: whether the key may be missing.
    """
    if key is None:
        if contents.code and not without_key:
            raise ConfigurationError(
                "the key of this backup's pseudonyms is kept separately: name its file (--key), or "
                "restore without it (--without-key); later images of patients in the backup are "
                "then assigned to new patients"
            )
        return False
    if not contents.code:
        raise Mismatch("this backup needs no key or contains it; leave --key out")
    if len(key) != KEY_BYTES or not compare_digest(contents.signed(key).code, contents.code):
        raise Mismatch(
            "the backup was not written with this key, or was changed since; use the key of the "
            "original store, or another backup"
        )
    return True


def _refuse_occupied(store: Store) -> None:
    there = [name for name in PARTS if (store.root / name).exists()]
    if store.current.exists() or (there and not store.restoring.is_file()):
        raise ConfigurationError(
            f"{store.root} is not empty ({', '.join(there)}); name an empty folder"
        )


def _move(part: Path, target: Path) -> None:
    """Move a part of a store into place, replacing that of an interrupted restore."""
    if target.is_dir():
        shutil.rmtree(target)
    if part.exists():
        part.replace(target)
