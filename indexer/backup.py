"""A store in one file, taken while the service runs, and made a store again elsewhere.

The file is a tar archive, in this order::

    had-keys                               there once an API key was made
    checkpoints/<sha256>.safetensors       of the live generation
    generations/<name>/                    the live one; the others can be built again
    media/                                 pictures of all cases
    catalog.sqlite                         the catalog, whichever database it is kept in
    backup.json                            what is in it; a backup that was cut off has none

The key of the patients' pseudonyms is not in it, but is kept apart: with both, everybody who is in
the archive can be found by trying patient ids. A digest in `backup.json` is over all files before
it, and a code made with the key over that: nothing is restored that was changed meanwhile.

What makes it whole while cases come and go: a generation is older than the catalog that is taken
after it, as in a store; pictures are on the disk before the catalog speaks of a case, so those of
all cases are found after it was taken; and a case that is removed meanwhile, with its pictures, is
removed in the copy of the catalog too.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeGuard

from xemplar.archive.artefact import file_digest, scratch_folder, sync_path, write_file
from xemplar.archive.media import Media
from xemplar.archive.permissions import write_private
from xemplar.archive.store import KEY_BYTES, Store
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.copying import apply_removals, copy_catalog, images
from xemplar.errors import ConfigurationError, Mismatch, StorageError
from xemplar.index import check_cases, current, folder_of, open_generation, read_manifest
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
) -> Contents:
    """Write a store and its catalog to a stream, unless that could not answer again.

    Args:
        store: may be in use. Needs room for a copy of the catalog; if it can only be read, the
            folder of temporary files does.
        database_url: of the catalog; SQLite or PostgreSQL.
        out: where to.
        on_progress: called with how many cases' pictures of how many are written.
        otherwise: file of the live generation's checkpoint, if the store does not keep it and
            it is not the shipped one.

    Raises:
        NothingIndexed: there is no live generation, so nothing to answer with.
        ConfigurationError: its checkpoint is not there.
        CorruptArtefact: the store is damaged.
        Mismatch: the catalog lacks cases of the live generation.
        StorageError: disk or database cannot be used now.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    live, media = current(store), Media(store.media)
    with _scratch(store) as scratch:
        copy = Store(scratch)
        copy_catalog(database_url, copy.database_url)
        checkpoint = _check_answers(store, live, copy, otherwise)
        # whatever pseudonyms are in the copy were made with it
        key = store.pseudonym_key.read_bytes() if store.pseudonym_key.is_file() else None
        _audit(database_url, "backup", live)
        with writing_archive(out) as archive:
            if store.had_keys.is_file():
                archive.add(store.had_keys, HAD_KEYS)
            digest = file_digest(checkpoint)
            archive.add(checkpoint, f"checkpoints/{store.checkpoint(digest).name}")
            for path in sorted((store.generations / live).iterdir()):
                archive.add(path, str(path.relative_to(store.root)))
            cases = 0
            for cases, (sha256, total) in enumerate(images(copy.database_url), start=1):
                for path in media.files(sha256):
                    with suppress(FileNotFoundError):  # the case is removed at this moment
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
    """Make a store, and its catalog, from a backup. The new one answers as the old one did.

    Whole or not at all: what was cut off answers nothing, and the same command does it again.
    Everything is unpacked into a hidden folder and checked there; a file `Store.restoring` stands
    beside what is then moved into place, and becomes `Store.current` once the catalog is written.

    Args:
        source: what `back_up` wrote.
        store: nothing may be in it, but what a restore that was cut off has left.
        database_url: of an empty database; SQLite or PostgreSQL, whichever it was.
        otherwise: file of the checkpoint, for a backup of an older version that lacks it, unless it
            is the shipped one.
        key: of the pseudonyms, `KEY_BYTES` of the store that was backed up.
        without_key: go on where the backup has a key and none is given: a patient whose images are
            in it is then another one with every new image.

    Raises:
        ConfigurationError: something is in the store, or in the database; or the key lacks.
        CorruptArtefact: this is no backup, or not all of one.
        Mismatch: a newer version of this software made the backup, its parts do not fit, or it
            is not what was written with this key.
        StorageError: disk or database cannot be used now.
    """
    _refuse_occupied(store)
    again = store.restoring.is_file()
    with scratch_folder(store.root) as scratch:
        copy = Store(scratch)
        contents = unpack(source, scratch)
        if _is_key(key, contents, without_key=without_key):
            write_private(copy.pseudonym_key, key)
        migrate(copy.database_url, copy)  # an older version may have made it
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
    """Keep an entry in the audit trail; a database that can only be read is no reason to stop."""
    try:
        audit_command(database_url, action, generation)
    except StorageError as error:
        LOG.warning("the %s is not audited: %s", action, error.reason)


@contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """A folder to work in: in the store, or elsewhere if that can only be read."""
    if os.access(store.root, os.W_OK):
        with scratch_folder(store.root) as scratch:
            yield scratch
    else:
        with TemporaryDirectory(prefix="xemplar-") as name:
            yield Path(name)


def _check_answers(store: Store, name: str, copy: Store, otherwise: Path | None) -> Path:
    """Refuse a store that could not answer; returns the file of the generation's checkpoint.

    Args:
        store: with the generation, and its checkpoint if that is kept.
        name: of the generation.
        copy: with the catalog.
        otherwise: see `back_up`.
    """
    digest = read_manifest(folder_of(name, store)).checkpoint
    path = find(digest, store, *([otherwise] if otherwise else []))
    with open_catalog(copy.database_url) as catalog:
        check_cases(open_generation(store, load(path), name), catalog)
    return path


def _is_key(key: bytes | None, contents: Contents, *, without_key: bool) -> TypeGuard[bytes]:
    """Whether a key is there that belongs to a backup; refuses another one, or none.

    Args:
        key: as it was given.
        contents: of the backup.
        without_key: whether it may lack.
    """
    if key is None:
        if contents.code and not without_key:
            raise ConfigurationError(
                "the key of this backup's pseudonyms is kept apart from it: name its file (--key); "
                "or restore without it (--without-key), and patients whose images are in the "
                "backup "
                "count as other patients in every image that comes later"
            )
        return False
    if not contents.code:
        raise Mismatch("this backup needs no key, or has it within; leave --key out")
    if len(key) != KEY_BYTES or not compare_digest(contents.signed(key).code, contents.code):
        raise Mismatch(
            "the backup was not written with this key, or was changed since; use the key of the "
            "store that it was made of, or another backup"
        )
    return True


def _refuse_occupied(store: Store) -> None:
    there = [name for name in PARTS if (store.root / name).exists()]
    if store.current.exists() or (there and not store.restoring.is_file()):
        raise ConfigurationError(
            f"there is something in {store.root} ({', '.join(there)}); name an empty folder"
        )


def _move(part: Path, place: Path) -> None:
    """Move a part of a store into place, where one may lie of a restore that was cut off."""
    if place.is_dir():
        shutil.rmtree(place)
    if part.exists():
        part.replace(place)
