"""``xemplar upgrade``: brings the catalog of an older release up to date."""

import typer

from xemplar.cli.terminal import DEFAULT_STORE, DatabaseOption, StoreOption


def upgrade(store: StoreOption = DEFAULT_STORE, database: DatabaseOption = "") -> None:
    """Bring the catalog's schema up to date after a new version of xemplar was installed.

    Whole or not at all, and safe to repeat. Cases, embeddings and generations stay as they are.
    Pseudonyms of patients that two data sets could share are told apart, with the store's key.
    Make a backup and stop services and workers of the older version first: they cannot use the new
    schema.

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
        typer.echo(f"the catalog has schema {before} already; nothing to do")
        return
    migrate(url, Store(store))
    typer.echo(f"catalog upgraded from schema {before} to {head()}")
