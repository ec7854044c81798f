"""A store in one file, taken while the service runs, and made a store again elsewhere.

The file is a tar archive, in this order::

    pseudonym.key, checkpoints/            as in the store
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
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from xemplar.artefact import scratch_folder
from xemplar.catalog import migrate
from xemplar.catalog.copying import copy_catalog, films, remove_again
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.index import current, publish, read_manifest
from xemplar.index.manifest import check_files
from xemplar.media import Media
from xemplar.store import Store

CATALOG, CONTENTS = "catalog.sqlite", "backup.json"
FORM = 1


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
) -> Contents:
    """Write a store and its catalog to a stream.

    Args:
        store: may be in use. Needs room for a copy of the catalog.
        database_url: of the catalog; SQLite or PostgreSQL.
        out: where to.
        on_progress: called with how many cases' pictures of how many are written.

    Raises:
        NothingIndexed: there is no live generation, so nothing to answer with.
        CorruptArtefact: the store is damaged.
        DatabaseUnreachable: the catalog does not answer.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    live, media = current(store), Media(store.media)
    with (
        scratch_folder(store.root) as scratch,
        tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        check_files(store.generations / live, read_manifest(store.generations / live))
        for path in (store.pseudonym_key, *store.checkpoint("*").parent.glob("[!.]*")):
            _add(archive, path, store.root)
        for path in sorted((store.generations / live).iterdir()):
            _add(archive, path, store.root)
        copy = Store(scratch)
        copy_catalog(database_url, copy.database_url)
        cases, pictures = 0, 0
        for cases, (sha256, total) in enumerate(films(copy.database_url), start=1):
            for path in media.files(sha256):
                with suppress(FileNotFoundError):  # the case is removed at this moment
                    _add(archive, path, store.root)
                    pictures += 1
            if on_progress:
                on_progress(cases, total)
        cases -= remove_again(database_url, copy.database_url)
        _add(archive, scratch / CATALOG, scratch)
        contents = Contents(created, live, cases, pictures)
        (scratch / CONTENTS).write_text(json.dumps(asdict(contents), indent=2) + "\n")
        _add(archive, scratch / CONTENTS, scratch)
    return contents


def restore(source: IO[bytes], store: Store, database_url: str) -> Contents:
    """Make a store, and its catalog, from a backup. The new one answers as the old one did.

    The live generation is named last: a restore that was cut off is no store that answers.

    Args:
        source: what `back_up` wrote.
        store: nothing may be in it.
        database_url: of a database without cases; SQLite or PostgreSQL, whichever it was.

    Raises:
        ConfigurationError: something is in the store, or in the database.
        CorruptArtefact: this is no backup, or not all of one.
        DatabaseUnreachable: the catalog's database does not answer.
        Mismatch: a newer version of this software made the backup.
    """
    if any(path.exists() for path in (store.generations, store.media, store.pseudonym_key)):
        raise ConfigurationError(f"there is something in {store.root}; name an empty folder")
    store.root.mkdir(parents=True, exist_ok=True)
    with scratch_folder(store.root) as scratch:
        contents = _unpack(source, store.root, scratch)
        copy = Store(scratch)
        migrate(copy.database_url, store)  # an older version may have made it
        copy_catalog(copy.database_url, database_url)
    folder = store.generations / contents.generation
    check_files(folder, read_manifest(folder))
    Media(store.media).sync()
    publish(store, contents.generation)
    return contents


def _add(archive: tarfile.TarFile, path: Path, root: Path) -> None:
    """Put a file in, under its path in the store, without whose it is here."""

    def nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    archive.add(path, str(path.relative_to(root)), recursive=False, filter=nobody)


def _unpack(source: IO[bytes], root: Path, scratch: Path) -> Contents:
    """Unpack what lies in a store there, and the rest into the scratch folder."""
    pictures = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member, content in _files(archive):
                beside = member.name in (CATALOG, CONTENTS)
                path = (scratch if beside else root) / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file)
                path.chmod(member.mode & 0o777)
                pictures += member.name.startswith("media/")
    except (tarfile.TarError, EOFError) as error:
        raise CorruptArtefact(f"this is no backup, or not all of one: {error}") from error
    try:
        contents = Contents(**json.loads((scratch / CONTENTS).read_bytes()))
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
        if content is None or path.is_absolute() or ".." in path.parts:
            raise CorruptArtefact(f"a backup has no {member.name[:100]!r}: this is none")
        yield member, content
