"""Commands on a whole store: ``xemplar backup``, ``xemplar restore``, ``xemplar upgrade``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    IndexUrlOption,
    StoreOption,
    name_next,
    new_path,
    plain,
    shown,
)

if TYPE_CHECKING:
    from xemplar.archive.store import Store

    from .backup_archive import Contents


def _existing_file(path: Path | None) -> Path | None:
    """Check an input file (a typer callback); unlike typer's own check, allow - for stdin.

    Raises:
        BadParameter: it is not a file.
    """
    if path is not None and str(path) != "-" and not path.is_file():
        raise typer.BadParameter(f"there is no file {path}")
    return path


def backup(
    file: Annotated[
        Path, typer.Argument(help="New file; - for standard output.", callback=new_path)
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    checkpoint: CheckpointOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File for the key of the pseudonyms; default: FILE.key, or none for -.",
            dir_okay=False,
        ),
    ] = None,
    references: Annotated[
        bool,
        typer.Option(
            "--references",
            help="Include the cases' references to studies (XEMPLAR_VIEWER_URL), sealed with the "
            "key; without them, indexing the images again adds them.",
        ),
    ] = False,
) -> None:
    """Write store and catalog to one file, while the service keeps running.

    The backup contains everything acknowledged before. The key of the pseudonyms is written to a
    separate file, to be kept elsewhere; it is the same each time.

    Examples:
        xemplar backup monday.tar --store archive --key /safe/archive.key

        docker compose exec -T api xemplar backup - > monday.tar
    """
    from xemplar.archive.artefact import new_file
    from xemplar.archive.store import Store

    from .backup import back_up

    place = Store(store, index_url)
    url = database or place.database_url
    bar = Progress(console=Console(stderr=True))
    to_stream = str(file) == "-"
    kept = key or (None if to_stream else _beside(file))
    _refuse_other_key(kept, place)
    with shown(bar) as show:
        task = bar.add_task("cases", total=None)

        def moved(done: int, total: int) -> None:
            show()
            bar.update(task, completed=done, total=total)

        with nullcontext(sys.stdout.buffer) if to_stream else new_file(file) as out:
            contents = back_up(place, url, out, moved, checkpoint, with_references=references)
            if contents.code:  # before the file appears: a backup is incomplete without the key
                _keep_key(place, kept)
    _report("backed up", contents)
    if contents.code:
        where = kept or f"{place.pseudonym_key}, which is not in the backup"
        _say(
            f"the key of the pseudonyms is in {where}: keep a copy of it, separate from the backup"
        )


def restore(
    file: Annotated[
        Path,
        typer.Argument(
            help="File from `xemplar backup`; - for standard input.", callback=_existing_file
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
    checkpoint: CheckpointOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Key of the pseudonyms; default: FILE.key if it exists; - for the first 32 bytes "
            "of standard input.",
            callback=_existing_file,
        ),
    ] = None,
    without_key: Annotated[
        bool,
        typer.Option(
            "--without-key",
            help="Assign later images of patients in the backup to new patients.",
        ),
    ] = False,
) -> None:
    """Restore a store from a backup; folder and database must be empty.

    Examples:
        xemplar restore monday.tar --store elsewhere --key /safe/archive.key

        cat archive.key monday.tar | docker compose run --rm -T indexer restore - --key -
    """
    from xemplar.archive.store import Store

    from .backup import restore as unpack

    if key is not None and without_key:
        raise typer.BadParameter("give --key or --without-key, not both")
    place = Store(store)
    secret = None if without_key else _read_key(file, key)
    with _reading(file) as source:
        contents = unpack(
            source,
            place,
            database or place.database_url,
            checkpoint,
            key=secret,
            without_key=without_key,
        )
    _report("restored", contents)
    if contents.code and without_key:
        _say(
            "restored without the key of its pseudonyms: later images of patients in the backup "
            "are assigned to new patients"
        )
    name_next("serve", "--store", str(store))


def upgrade(store: StoreOption = DEFAULT_STORE, database: DatabaseOption = "") -> None:
    """Upgrade the catalog's schema after installing a new version of xemplar.

    The upgrade is atomic and safe to repeat. Cases, embeddings and generations do not change.
    Ambiguous patient pseudonyms, which two data sets could share, are made distinct with the
    store's key. First make a backup and stop services and workers of the older version: they cannot
    use the new schema.

    Examples:
        xemplar upgrade --store archive

        xemplar upgrade --database postgresql+psycopg://xemplar@db.example/xemplar
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import migrate
    from xemplar.catalog.schema import connect, head, revision

    url = database or Store(store).database_url
    engine = connect(url)
    before = revision(engine)
    engine.dispose()
    if before == head():
        typer.echo(f"the catalog already has schema {before}; nothing to do")
        return
    migrate(url, Store(store))
    typer.echo(f"catalog upgraded from schema {before} to {head()}")
    name_next("serve", "--store", str(store))


def _beside(file: Path) -> Path:
    """Return the default path of a backup's key."""
    return file.with_name(f"{file.name}.key")


def _refuse_other_key(kept: Path | None, store: "Store") -> None:
    """Refuse to overwrite another store's key, which other backups need."""
    if kept is None or not kept.exists():
        return
    own = store.pseudonym_key
    if not own.is_file() or kept.read_bytes() != own.read_bytes():
        raise typer.BadParameter(
            f"{kept} exists and is not this store's key; name another file (--key)"
        )


def _keep_key(store: "Store", kept: Path | None) -> None:
    from xemplar.archive.artefact import write_file

    if kept is not None and not kept.exists():
        write_file(kept, store.pseudonym_key.read_bytes())


def _read_key(file: Path, key: Path | None) -> bytes | None:
    """Read the given key or the one beside the backup; return None if there is none."""
    from xemplar.archive.store import KEY_BYTES

    if str(key) == "-":
        return sys.stdin.buffer.read(KEY_BYTES)
    if key is None:
        key = _beside(file)
        if str(file) == "-" or not key.is_file():
            return None
    with key.open("rb") as source:
        return source.read(KEY_BYTES + 1)


@contextmanager
def _reading(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with file.open("rb") as source:
            yield source


def _report(done: str, contents: "Contents") -> None:
    _say(
        f"{done}: {contents.cases:,} cases, {contents.pictures:,} pictures, generation "
        f"{contents.generation}, as of {contents.created}"
    )


def _say(line: str) -> None:
    """Print on stderr, as stdout may be the backup."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(plain(line))
