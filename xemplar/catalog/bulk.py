"""Reads and writes whole tables, without the cost of a statement for each row.

PostgreSQL's COPY carries them, SQLite's prepared statements, and between two files of SQLite its
backup interface. Values are converted by SQLAlchemy's types, as in every other statement.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import TypeEngine

from xemplar.archive.permissions import make_file, make_folder
from xemplar.archive.storage_errors import writing_files
from xemplar.catalog.failures import sqlite_kind, unusable
from xemplar.catalog.schema import connect
from xemplar.errors import CorruptArtefact

Row = tuple[Any, ...]
Conversion = Callable[[Any], Any] | None


def read_rows(connection: Connection, table: Table) -> Generator[Row, None, None]:
    """Yield a table's rows as Python values, in the order of its columns."""
    dialect, driver = connection.dialect, _driver(connection)
    kinds = [_oid(column.type, connection) for column in table.columns]
    convert = [
        column.type.dialect_impl(dialect).result_processor(dialect, kind)
        for column, kind in zip(table.columns, kinds, strict=True)
    ]
    name, columns = _names(connection, table)
    with _driver_errors(connection), closing(driver.cursor()) as cursor:
        if dialect.name == "sqlite":
            rows = cursor.execute(f"SELECT {columns} FROM {name}")  # noqa: S608 -- our own names
            yield from _converted(rows, convert)
            return
        with cursor.copy(f"COPY {name} ({columns}) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(kinds)
            yield from _converted(copy.rows(), convert)


def write_rows(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows into a table, with values in the order of its columns."""
    first = next(iter_rows := iter(rows), None)
    if first is None:
        return
    dialect = connection.dialect
    convert = [
        column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns
    ]
    converted = _converted(chain([first], iter_rows), convert)
    name, columns = _names(connection, table)
    with _driver_errors(connection), closing(_driver(connection).cursor()) as cursor:
        if dialect.name == "sqlite":
            places = ", ".join("?" * len(table.columns))
            statement = f"INSERT INTO {name} ({columns}) VALUES ({places})"  # noqa: S608
            cursor.executemany(statement, converted)
            return
        with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
            for row in converted:
                copy.write_row(row)


def copy_file(source: Connection, target: str, file: Path) -> None:
    """Copy a database of SQLite into a new file, as the source's transaction sees it.

    Args:
        source: in a transaction.
        target: URL of the new database.
        file: of it; missing or empty. Stays so if the copying fails.

    Raises:
        StorageError, CorruptArtefact: the source cannot be read, or the file not be written.
    """
    with writing_files(file.parent):
        make_folder(file.parent)
    make_file(file)
    try:
        with closing(sqlite3.connect(file)) as new:
            _driver(source).backup(new)
    except sqlite3.Error as error:
        corrupt = sqlite_kind(error, file) is CorruptArtefact
        failed = OperationalError("backup", None, error)
        raise unusable(source.engine if corrupt else connect(target), failed) from error


@contextmanager
def _driver_errors(connection: Connection) -> Iterator[None]:
    """Turn the driver's errors into SQLAlchemy's, as its own statements do."""
    base: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        raise DBAPIError.instance("COPY", None, error, base, hide_parameters=True) from error


def _driver(connection: Connection) -> Any:
    """Return the driver's connection in the transaction of SQLAlchemy's."""
    connection.exec_driver_sql("SELECT 1")  # begins it
    return connection.connection.driver_connection


def _names(connection: Connection, table: Table) -> tuple[str, str]:
    """Return a table's name and its columns' names, quoted."""
    quoted = connection.dialect.identifier_preparer
    return quoted.format_table(table), ", ".join(map(quoted.format_column, table.columns))


def _oid(kind: TypeEngine[Any], connection: Connection) -> int | None:
    """Return PostgreSQL's number of a column's type; None in SQLite, whose values name theirs."""
    if connection.dialect.name == "sqlite":
        return None
    name = kind.compile(connection.dialect).lower().partition("(")[0]
    oid: int = _driver(connection).adapters.types[name].oid
    return oid


def _converted(rows: Iterable[Row], convert: Sequence[Conversion]) -> Iterator[Row]:
    """Apply a conversion to each column, where there is one."""
    places = [(place, change) for place, change in enumerate(convert) if change is not None]
    for row in rows:
        values = list(row)
        for place, change in places:
            values[place] = change(values[place])
        yield tuple(values)
