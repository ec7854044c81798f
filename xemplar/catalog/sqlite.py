"""Connections to SQLite: durable, and to a file that can only be read, too."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from xemplar.archive.permissions import make_file

BUSY_SECONDS = 30
"""How long SQLite waits for another process to finish its transaction."""


def connect_sqlite(address: URL) -> Engine:
    """An engine for SQLite. Nothing is read from the file yet."""
    engine = create_engine(
        address,
        hide_parameters=True,  # what is stored of patients stands in no error
        connect_args={"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "do_connect", _connect_read_only)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "checkout", _refuse_outdated)
    event.listen(engine, "begin", _begin)
    return engine


def truncate_log(engine: Engine) -> bool:
    """Take the write-ahead log over into the database, and cut it to nothing.

    Returns:
        Whether that could be done within `BUSY_SECONDS`.
    """
    connection = engine.raw_connection()  # in a transaction SQLite refuses it
    try:
        cursor = connection.cursor()
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    finally:
        connection.close()


class ReadOnlyConnection(sqlite3.Connection):
    """Of a file that is read only; a change is refused as ``SQLITE_READONLY``.

    Attributes:
        path: of the file.
    """

    path: Path


def _refuse_outdated(connection: sqlite3.Connection, _record: Any, _proxy: Any) -> None:
    """Implements SQLAlchemy's event ``checkout``: connects again once the file can be written."""
    if isinstance(connection, ReadOnlyConnection) and _is_writable(connection.path):
        raise DisconnectionError


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _connect_read_only(
    _dialect: Dialect, _record: object, arguments: list[Any], named: dict[str, Any]
) -> ReadOnlyConnection | None:
    """Implements SQLAlchemy's event ``do_connect``; None where the file can be written.

    A new file is made here, for this user alone.

    A database with a write-ahead log wants to make files beside it even to be read. Where it
    cannot, and no log lies there, it is opened as one that never changes (``immutable``): nobody
    can be writing it then without leaving a log.
    """
    path = Path(arguments[0])
    make_file(path)
    if not path.is_file() or _is_writable(path):
        return None
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.is_file() and log.stat().st_size else "mode=ro&immutable=1"
    address = f"file:{quote(str(path.resolve()))}?{how}"
    options: dict[str, Any] = named | {"uri": True, "factory": ReadOnlyConnection}
    connection: ReadOnlyConnection = sqlite3.connect(address, **options)
    connection.path = path
    return connection


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # sqlite3 by itself begins no transaction for CREATE TABLE, so half a migration could remain;
    # with None it begins none at all, and _begin does
    connection.isolation_level = None
    if isinstance(connection, ReadOnlyConnection):
        return
    # FULL: what was acknowledged survives a power cut (one fsync for each transaction)
    # secure_delete: what was removed is overwritten, whatever this SQLite was built with
    _write_ahead(connection)
    for setting in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn a new file's log into a write-ahead log, once others are done with the same.

    Here SQLite does not wait by itself, as it does elsewhere.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin(connection: Connection) -> None:
    # a transaction that reads first and writes later would fail at once, without waiting, if
    # another one wrote in between; so those that will write say so
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
