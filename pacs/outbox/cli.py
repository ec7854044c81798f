"""``xemplar dicom outbox``: what waits in the node's folder. Nothing of a patient is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from xemplar.cli.terminal import plain

if TYPE_CHECKING:
    from .outbox import Outbox

outbox = typer.Typer(
    no_args_is_help=True,
    help="Images and results that wait in the node's folder: list, try again, or drop.",
)

FolderOption = Annotated[
    Path,
    typer.Option(
        envvar="XEMPLAR_PACS_FOLDER", help="Folder of the node that listens.", file_okay=False
    ),
]
DEFAULT_FOLDER = Path("xemplar-pacs")
SHOWN = 200
"""Most rows of the list; the oldest come first."""


@outbox.command("list")
def list_items(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """List what waits, oldest first, and how many images were done with.

    Example:
        xemplar dicom outbox list --folder /var/lib/xemplar-pacs
    """
    titles = ("id", "what", "next", "state", "tries", "since (UTC)", "why")
    table = Table(*(Column(title, overflow="fold") for title in titles), box=None)
    with _opened(folder) as found:
        items, counts, outcomes = found.all(SHOWN), found.counts(), found.outcomes()
    for item in items:
        state = "held" if item.held else "waiting"
        since = f"{item.since:%Y-%m-%d %H:%M:%S}"
        row = (item.id, item.kind, item.stage, state, item.tries, since, item.reason)
        table.add_row(*map(plain, row))
    console = Console(highlight=False)
    console.print(table)
    held = sum(number for (_, is_held), number in counts.items() if is_held)
    console.print(f"{sum(counts.values()):,} in the outbox, {held:,} of them held")
    for outcome, number in sorted(outcomes.items()):
        console.print(f"{number:,} images done: {plain(outcome)}")


@outbox.command()
def retry(
    ids: Annotated[
        list[int] | None, typer.Argument(help="Ids of the list; without any, all.", min=1)
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Try items again at once, held ones included.

    Examples:
        xemplar dicom outbox retry

        xemplar dicom outbox retry 12 13
    """
    with _opened(folder) as found:
        number = found.retry(ids or None)
    typer.echo(f"{number:,} will be tried again")


@outbox.command()
def drop(
    ids: Annotated[list[int], typer.Argument(help="Ids of the list.", min=1)],
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Delete items for good: an image is not answered, a result does not reach the archive.

    Example:
        xemplar dicom outbox drop 12
    """
    with _opened(folder) as found:
        number = found.drop(ids)
    typer.echo(f"{number:,} dropped")


@contextmanager
def _opened(folder: Path) -> Iterator["Outbox"]:
    from .outbox import Outbox

    found = Outbox.open(folder, make=False)
    try:
        yield found
    finally:
        found.close()
