"""What the programs' command lines share: options that mean the same, and the progress bar."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

DEFAULT_STORE = Path("xemplar-store")

STORE_PARTS = ("catalog.sqlite", "generations", "media", "checkpoints", "pseudonym.key")
"""What a store has at least one of."""


def store_folder(path: Path) -> Path:
    """Checks a store's folder, as a callback of typer: it may be new, but nothing else.

    Raises:
        BadParameter: it holds other things, which would get mixed with the store's.
    """
    _can_be_made(path)
    inside = {one.name for one in path.iterdir()} if path.is_dir() else set()
    others = {name for name in inside if not name.startswith(".") and name != "lost+found"}
    if others and not inside.intersection(STORE_PARTS):
        raise typer.BadParameter(f"{path} is no store, and not empty; name a store or a new folder")
    return path


def new_path(path: Path | None) -> Path | None:
    """Checks what is to be written, as a callback of typer: it must not be there yet.

    Raises:
        BadParameter: it is.
    """
    if path is None or str(path) == "-":
        return path
    if path.exists():
        raise typer.BadParameter(f"{path} exists already; choose another name or remove it")
    _can_be_made(path)
    return path


def _can_be_made(path: Path) -> None:
    """Refuse what is not there and could not be made where it is named."""
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if there != path and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise typer.BadParameter(f"{path} cannot be made: {there} is no folder that may be changed")


StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="XEMPLAR_STORE",
        help="Folder with index, catalog and pictures.",
        file_okay=False,
        callback=store_folder,
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        envvar="XEMPLAR_CHECKPOINT",
        help="Network; default: the one shipped.",
        exists=True,
        dir_okay=False,
    ),
]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="XEMPLAR_DATABASE_URL",
        help="Catalog, as postgresql+psycopg://USER@HOST/NAME; default: SQLite in the store.",
    ),
]


@contextmanager
def shown(bar: Progress) -> Iterator[Callable[[], None]]:
    """Gives the function that shows a bar: what fails before it was called shows none."""
    try:
        yield bar.start
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with speed and time left; gives the function that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    with shown(bar) as show:
        task = bar.add_task(what, total=total, speed="")

        def moved(done: int) -> None:
            show()
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, speed=f"{speed:.0f}/s" if speed else "")

        yield moved
