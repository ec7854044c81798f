"""``xemplar backup`` and ``xemplar restore``: a store in one file, and back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from xemplar.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    StoreOption,
    new_path,
    shown,
)

if TYPE_CHECKING:
    from xemplar.backup import Contents


def backup(
    file: Annotated[
        Path, typer.Argument(help="New file; - for the standard output.", callback=new_path)
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
    checkpoint: CheckpointOption = None,
) -> None:
    """Write store and catalog into one file, while the service goes on.

    What was acknowledged before is in it. It holds the key of the pseudonyms: keep it as safe as
    the store.

    Examples:
        xemplar backup monday.tar --store archive

        docker compose exec -T api xemplar backup - > monday.tar
    """
    from xemplar.artefact import new_file
    from xemplar.backup import back_up
    from xemplar.store import Store

    place = Store(store)
    url = database or place.database_url
    bar = Progress(console=Console(stderr=True))
    with shown(bar) as show:
        task = bar.add_task("cases", total=None)

        def moved(done: int, total: int) -> None:
            show()
            bar.update(task, completed=done, total=total)

        if str(file) == "-":
            contents = back_up(place, url, sys.stdout.buffer, moved, checkpoint)
        else:
            with new_file(file) as out:
                contents = back_up(place, url, out, moved, checkpoint)
    _tell("backed up", contents)


def restore(
    file: Annotated[
        Path,
        typer.Argument(
            help="As `xemplar backup` wrote it; - for the input.",
            exists=True,
            dir_okay=False,
            allow_dash=True,
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
    checkpoint: CheckpointOption = None,
) -> None:
    """Make a store from a backup: the folder, and the database, must be empty.

    Examples:
        xemplar restore monday.tar --store elsewhere

        docker compose run --rm -T indexer restore - < monday.tar
    """
    from xemplar.backup import restore as unpack
    from xemplar.store import Store

    place = Store(store)
    with _reading(file) as source:
        contents = unpack(source, place, database or place.database_url, checkpoint)
    _tell("restored", contents)


@contextmanager
def _reading(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with file.open("rb") as source:
            yield source


def _tell(what: str, contents: "Contents") -> None:
    """On stderr, as the output may be the backup."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{what}: {contents.cases:,} cases, {contents.pictures:,} pictures, generation "
        f"{contents.generation}, as of {contents.created}"
    )
