"""What the programs' command lines share: options that mean the same, and the progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

DEFAULT_STORE = Path("xemplar-store")

StoreOption = Annotated[
    Path,
    typer.Option(
        "--store", envvar="XEMPLAR_STORE", help="Folder with index, catalog and pictures."
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", envvar="XEMPLAR_CHECKPOINT", help="Network; default: the one shipped."
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
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with speed and time left; gives the function that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, speed="")

        def moved(done: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, speed=f"{speed:.0f}/s" if speed else "")

        yield moved
