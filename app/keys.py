"""``xemplar keys``: make, list and revoke the service's API keys."""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer

from xemplar.cli.terminal import DEFAULT_STORE, DatabaseOption, StoreOption, plain

WIDE = 240
"""Characters of a line that no terminal shows: a pipe has no width, and a row is one line."""

UNITS = {"h": "hours", "d": "days", "w": "weeks"}

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys of the service.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is; shown in lists, never secret.")],
    role: Annotated[
        Literal["reader", "writer", "admin"],
        typer.Option(
            help="reader: queries, cases, ratings. writer: changes cases too. admin: everything."
        ),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a source whose cases exist for the key; may be repeated. Without it: all."
        ),
    ] = None,
    expires: Annotated[
        str,
        typer.Option(help="Time from now, as 90d (h, d, w), or a date. Without it: never."),
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Make a key, and print its secret: the only time that it is shown.

    Examples:
        xemplar keys create ward-3 --role reader
        xemplar keys create ward-a --role writer --source ward-a --source ward-b --expires 90d
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import migrate
    from xemplar.errors import StorageError
    from xemplar.operations.keys import Role, open_keys

    end = _end(expires) if expires else None
    url = database or Store(store).database_url
    migrate(url, Store(store))  # a key may come before the first image
    with open_keys(url) as known:
        key, secret = known.create(name, Role(role), sources=source, expires_at=end)
    # only now: a key that could not be made must not lock everybody out. Where it cannot be noted
    # here, or the store is elsewhere, a service that sees the key notes it
    with suppress(StorageError):
        if store.is_dir():
            Store(store).remember_keys()
    typer.echo(f"key {key.id} ({key.role}) for {key.name}; its secret, not shown again:", err=True)
    typer.echo(secret)


@keys.command("list")
def show(store: StoreOption = DEFAULT_STORE, database: DatabaseOption = "") -> None:
    """All keys, revoked ones too; the secrets are kept nowhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    from xemplar.archive.store import Store
    from xemplar.operations.keys import open_keys

    columns = ("role", "made", "expires", "last used", "revoked", "name", "sources")
    table = Table(Column("id", no_wrap=True), *columns, box=box.SIMPLE_HEAD)
    with open_keys(database or Store(store).database_url) as known:
        for key in known.list():
            times = (key.created_at, key.expires_at, key.last_used_at, key.revoked_at)
            shown = (f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in times)
            sources = "all" if key.sources is None else ", ".join(key.sources)
            table.add_row(key.id, key.role, *shown, plain(key.name), plain(sources))
    width = None if sys.stdout.isatty() else WIDE
    Console(width=width).print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id, as `xemplar keys list` shows it.")],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Make a key useless, for good. A running service refuses it within two seconds."""
    from xemplar.archive.store import Store
    from xemplar.operations.keys import open_keys

    with open_keys(database or Store(store).database_url) as known:
        known.revoke(key_id)
    typer.echo(f"key {key_id} is revoked")


def _end(given: str) -> datetime:
    """When a key ends: so long from now, or at a date or time, UTC unless it says otherwise.

    Raises:
        InvalidArgument: it is neither.
    """
    from xemplar.errors import InvalidArgument

    span = re.fullmatch(r"([0-9]{1,5})([hdw])", given)
    if span:
        return datetime.now(UTC) + timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidArgument(
            f"--expires is {given[:60]!r}; write a time from now, as 12h, 90d or 4w, or a date, as "
            "2030-12-31"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
