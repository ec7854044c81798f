"""A store in one file, taken while the service runs, and made a store again elsewhere.

The file is a tar archive, in this order::

    pseudonym.key, had-keys                as in the store
    checkpoints/<sha256>.safetensors       of the live generation
    generations/<name>/                    the live one; the others can be built again
    media/                                 pictures of all cases
    catalog.sqlite                         the catalog, whichever database it is kept in
    backup.json                            what is in it; a backup that was cut off has none

What makes it whole while cases come and go: a generation is older than the catalog that is taken
after it, as in a store; pictures are on the disk before the catalog speaks of a case, so those of
all cases are found after it was taken; and a case that is removed meanwhile, with its pictures, is
removed in the copy of the catalog too.
"""

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from xemplar.artefact import file_digest, scratch_folder, sync_path, write_file
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.copying import copy_catalog, films, remove_again
from xemplar.checkpoint import find, keep, load
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.index import check_cases, current, folder_of, open_generation, read_manifest
from xemplar.media import Media
from xemplar.store import Store

CATALOG, CONTENTS = "catalog.sqlite", "backup.json"
PARTS = ("pseudonym.key", "had-keys", "checkpoints", "media", "generations")
FORM = 1

MALFORMED = (FileExistsError, IsADirectoryError, NotADirectoryError, ValueError)
"""What unpacking raises where names contradict each other."""


@dataclass(frozen=True)
class Contents:
    """What is in a backup.

    Attributes:
        created: UTC, ISO 8601: everything that was acknowledged before is in it.
        generation: name of the live one.
        cases: in the catalog.
        pictures: files.
        form: version of the archive's form.
    """

    created: str
    generation: str
    cases: int
    pictures: int
    form: int = FORM


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
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for kept in (store.pseudonym_key, store.had_keys):
                if kept.is_file():
                    _add(archive, kept, kept.name)
            _add(
                archive, checkpoint, f"checkpoints/{store.checkpoint(file_digest(checkpoint)).name}"
            )
            for path in sorted((store.generations / live).iterdir()):
                _add(archive, path, str(path.relative_to(store.root)))
            cases, pictures = 0, 0
            for cases, (sha256, total) in enumerate(films(copy.database_url), start=1):
                for path in media.files(sha256):
                    with suppress(FileNotFoundError):  # the case is removed at this moment
                        _add(archive, path, str(path.relative_to(store.root)))
                        pictures += 1
                if on_progress:
                    on_progress(cases, total)
            cases -= remove_again(database_url, copy.database_url)
            _add(archive, scratch / CATALOG, CATALOG)
            contents = Contents(created, live, cases, pictures)
            (scratch / CONTENTS).write_text(json.dumps(asdict(contents), indent=2) + "\n")
            _add(archive, scratch / CONTENTS, CONTENTS)
    return contents


def restore(
    source: IO[bytes], store: Store, database_url: str, otherwise: Path | None = None
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

    Raises:
        ConfigurationError: something is in the store, or in the database.
        CorruptArtefact: this is no backup, or not all of one.
        Mismatch: a newer version of this software made the backup, or its parts do not fit.
        StorageError: disk or database cannot be used now.
    """
    _refuse_occupied(store)
    again = store.restoring.is_file()
    with scratch_folder(store.root) as scratch:
        copy = Store(scratch)
        contents = _unpack(source, copy)
        migrate(copy.database_url, copy)  # an older version may have made it
        keep(_check_answers(copy, contents.generation, copy, otherwise), copy)
        Media(copy.media).sync()
        write_file(store.restoring, f"{contents.generation}\n".encode())
        for name in PARTS:
            _move(scratch / name, store.root / name)
        sync_path(store.root)
        copy_catalog(copy.database_url, database_url, again=again)
    store.restoring.replace(store.current)
    sync_path(store.generations)
    return contents


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


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Put a file in under a name, without whose it is here."""

    def nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    archive.add(path, name, recursive=False, filter=nobody)


def _unpack(source: IO[bytes], place: Store) -> Contents:
    """Unpack all of a backup, and check that it is all."""
    pictures = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member, content in _files(archive):
                path = place.root / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file)
                path.chmod(member.mode & 0o777)
                pictures += member.name.startswith("media/")
    except (tarfile.TarError, EOFError, *MALFORMED) as error:
        raise CorruptArtefact(f"this is no backup, or not all of one: {error}") from error
    try:
        contents = Contents(**json.loads((place.root / CONTENTS).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise CorruptArtefact("this is no backup, or its end is missing; use another") from error
    if (contents.form, contents.pictures) != (FORM, pictures):
        raise CorruptArtefact(
            f"the backup has form {contents.form} and {pictures:,} pictures, not {FORM} and "
            f"{contents.pictures:,}; use another one, or the version of xemplar that made it"
        )
    return contents


def _files(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Its files; none that would lie elsewhere than in the store."""
    for member in archive:
        content, path = archive.extractfile(member), PurePosixPath(member.name)
        known = path.parts and path.parts[0] in (*PARTS, CATALOG, CONTENTS)
        if content is None or not known or ".." in path.parts:
            raise CorruptArtefact(f"a backup has no {member.name[:100]!r}: this is none")
        yield member, content
