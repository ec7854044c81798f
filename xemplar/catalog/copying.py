"""Copies a whole catalog into another database, SQLite or PostgreSQL, as a consistent snapshot."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.exc import DBAPIError

from xemplar.catalog.bulk import copy_file, read_rows, write_rows
from xemplar.catalog.catalog import open_catalog
from xemplar.catalog.failures import unusable
from xemplar.catalog.schema import address_of, check, connect, migrate
from xemplar.catalog.table_base import Base
from xemplar.catalog.tables import (
    AuditRow,
    CaseRow,
    ChangeRow,
    EarlierRatingRow,
    RateRow,
    ReferenceRow,
    RememberedQueryRow,
    RemovalRow,
)
from xemplar.errors import ConfigurationError

PASSING = (RememberedQueryRow.__tablename__, RateRow.__tablename__)
"""Tables whose rows no copy of a catalog holds: they pass by themselves, within a day."""

REFERENCES = (ReferenceRow.__tablename__,)
"""Tables whose rows a backup holds only if it is told to."""

ROWS = 500
"""Digests read at a time."""


def copy_catalog(
    source: str, target: str, *, again: bool = False, without: Collection[str] = ()
) -> None:
    """Copy a catalog into a database with no catalog or an empty one, in one transaction.

    The copy contains everything committed to the source before the call, and nothing committed
    later, except `PASSING`. The source may be in use.

    Args:
        source: URL of a catalog whose schema is up to date.
        target: URL of the other database.
        without: names of further tables whose rows are not copied.
        again: accept a target that an earlier call filled: if it holds the same cases, leave it
            unchanged.

    Raises:
        ConfigurationError: there is no catalog in the source, or one in the target.
        DatabaseUnreachable: one of them does not answer.
        Mismatch: a schema is older or newer than this software's.
    """
    left_out = {*PASSING, *without}
    file = _new_file(source, target)
    if file is not None:
        with _connection(source) as old:
            copy_file(old, target, file)
        with _connection(target, write=True) as new:
            for name in left_out:
                new.execute(delete(Base.metadata.tables[name]))
        return
    migrate(target)
    with _connection(source) as old, _connection(target, write=True) as new:
        if again and _holds_cases(new) and _changes(new) == _changes(old):
            return
        tables = [table for table in Base.metadata.sorted_tables if table.name not in left_out]
        for table in tables:
            if (
                table.name != ChangeRow.__tablename__
                and new.execute(select(table).limit(1)).first()
            ):
                where = new.engine.url.render_as_string(hide_password=True)
                raise ConfigurationError(
                    f"the table {table.name} of {where} is not empty; name an empty database"
                )
        new.execute(delete(ChangeRow))  # the row that every new catalog has
        for table in tables:
            with closing(read_rows(old, table)) as rows:
                write_rows(new, table, rows)
        _advance_sequences(new)


def images(url: str) -> Iterator[tuple[str, int]]:
    """Yield (image digest, total number of cases) for each case."""
    with _connection(url) as connection:
        total = connection.scalar(select(func.count()).select_from(CaseRow)) or 0
        query = select(CaseRow.image_sha256).order_by(CaseRow.image_sha256)
        for sha256 in connection.execution_options(yield_per=ROWS).scalars(query):
            yield sha256, total


def apply_removals(source: str, copy: str) -> int:
    """Remove from a copy the cases removed from its source since; return their number."""
    with _connection(source) as old, open_catalog(copy) as catalog:
        query = select(RemovalRow.case).where(RemovalRow.change > catalog.version())
        gone = catalog.cases(old.scalars(query).all())
        return catalog.remove([case.case_id for case in gone.values()])


def _holds_cases(connection: Connection) -> bool:
    return connection.scalar(select(CaseRow.id).limit(1)) is not None


def _changes(connection: Connection) -> tuple[int, list[tuple[int, str]]]:
    """Return the last change number and all cases, which together identify a catalog's state."""
    cases = connection.execute(select(CaseRow.id, CaseRow.image_sha256).order_by(CaseRow.id))
    return connection.scalar(select(ChangeRow.number)) or 0, [
        (row.id, row.image_sha256) for row in cases
    ]


def _new_file(source: str, target: str) -> Path | None:
    """Return the target's file if both are SQLite and nothing is in it."""
    if {address_of(url).get_backend_name() for url in (source, target)} != {"sqlite"}:
        return None
    file = Path(address_of(target).database or "")
    return None if file.is_file() and file.stat().st_size else file


def _advance_sequences(connection: Connection) -> None:
    """Continue id sequences after all ids in use: removed ids may live on in generations."""
    for row, used in (
        (CaseRow, (CaseRow.id, RemovalRow.case)),
        (AuditRow, (AuditRow.id,)),
        (EarlierRatingRow, (EarlierRatingRow.id,)),
    ):
        last = max(connection.scalar(select(func.max(column))) or 0 for column in used)
        name = row.__tablename__
        if last and connection.dialect.name == "postgresql":
            number = func.pg_get_serial_sequence(name, "id")
            connection.execute(select(func.setval(number, last)))
        elif last:
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :n"), {"n": name})
            values = {"n": name, "last": last}
            connection.execute(text("INSERT INTO sqlite_sequence VALUES (:n, :last)"), values)


@contextmanager
def _connection(url: str, *, write: bool = False) -> Iterator[Connection]:
    """Open one transaction on a consistent snapshot of the database."""
    engine = connect(url, no_timeout=True)
    try:
        check(engine)
        connection = engine.connect().execution_options(write=write)
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()
