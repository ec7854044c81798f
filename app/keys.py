"""``xemplar keys``: make, list and revoke the service's API keys."""

from contextlib import suppress
from typing import Annotated, Literal

import typer

from xemplar.terminal import DEFAULT_STORE, DatabaseOption, StoreOption, plain

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
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Make a key, and print its secret: the only time that it is shown.

    Examples:
        xemplar keys create ward-3 --role reader
    """
    from xemplar.catalog import migrate
    from xemplar.catalog.keys import Role, open_keys
    from xemplar.errors import StorageError
    from xemplar.store import Store

    url = database or Store(store).database_url
    migrate(url, Store(store))  # a key may come before the first film
    with open_keys(url) as known:
        key, secret = known.create(name, Role(role))
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
    from rich.table import Table

    from xemplar.catalog.keys import open_keys
    from xemplar.store import Store

    table = Table("id", "role", "made", "revoked", "name", box=box.SIMPLE_HEAD)
    with open_keys(database or Store(store).database_url) as known:
        for key in known.list():
            made, revoked = (
                f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (key.created_at, key.revoked_at)
            )
            table.add_row(key.id, key.role, made, revoked, plain(key.name))
    Console().print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id, as `xemplar keys list` shows it.")],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Make a key useless, for good. A running service refuses it within two seconds."""
    from xemplar.catalog.keys import open_keys
    from xemplar.store import Store

    with open_keys(database or Store(store).database_url) as known:
        known.revoke(key_id)
    typer.echo(f"key {key_id} is revoked")
