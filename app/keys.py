"""``xemplar keys``: create, list and revoke the service's API keys."""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer

from xemplar.cli.terminal import DEFAULT_STORE, DatabaseOption, StoreOption, plain

WIDE = 240
"""Width of the table, in characters, when it is not shown on a terminal: one line per key."""

UNITS = {"h": "hours", "d": "days", "w": "weeks"}

keys = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys of the service.")


@keys.command()
def create(
    name: Annotated[
        str, typer.Argument(help="Name of the key's owner; shown in lists, not secret.")
    ],
    role: Annotated[
        Literal["participant", "reader", "writer", "admin"],
        typer.Option(
            help="participant: reader studies alone. reader: also queries, cases, ratings. writer: "
            "also changes cases. admin: everything."
        ),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Source whose cases the key may access; may be repeated. Without it: all sources."
        ),
    ] = None,
    expires: Annotated[
        str,
        typer.Option(help="Period such as 90d (h, d, w), or a date. Without it: never."),
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Create a key and print its secret, which is shown only once.

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
    # only now: a key that could not be created must not lock everyone out. If the marker cannot be
    # written here, or the store is elsewhere, a service that sees the key writes it
    with suppress(StorageError):
        if store.is_dir():
            Store(store).remember_keys()
    typer.echo(f"key {key.id} ({key.role}) for {key.name}; its secret, not shown again:", err=True)
    typer.echo(secret)


@keys.command("list")
def show(store: StoreOption = DEFAULT_STORE, database: DatabaseOption = "") -> None:
    """List all keys, including revoked ones; their secrets are not stored."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    from xemplar.archive.store import Store
    from xemplar.operations.keys import open_keys

    columns = ("role", "created", "expires", "last used", "revoked", "name", "sources")
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
    """Revoke a key for good. A running service refuses it within two seconds."""
    from xemplar.archive.store import Store
    from xemplar.operations.keys import open_keys

    with open_keys(database or Store(store).database_url) as known:
        known.revoke(key_id)
    typer.echo(f"key {key_id} is revoked")


def _end(given: str) -> datetime:
    """Parse the end of a key: a period from now, or a date or time, in UTC by default.

    Raises:
        InvalidArgument: the text is neither.
    """
    from xemplar.errors import InvalidArgument

    span = re.fullmatch(r"([0-9]{1,5})([hdw])", given)
    if span:
        return datetime.now(UTC) + timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidArgument(
            f"--expires is {given[:60]!r}; write a period such as 12h, 90d or 4w, or a date such "
            "as 2030-12-31"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
