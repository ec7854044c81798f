"""SQLite connections: durable writes, and read-only access to files that cannot be written."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from xemplar.archive.permissions import make_file

KEPT_CONNECTIONS = 5
"""Connections of an engine that stay open while they are idle."""

BUSY_SECONDS = 30
"""Time that SQLite waits for another process to finish its transaction."""


def connect_sqlite(address: URL, connections: int) -> Engine:
    """An engine for SQLite. Nothing is read from the file yet.

    Args:
        address: of the database.
        connections: at most.
    """
    engine = create_engine(
        address,
        hide_parameters=True,  # what is stored of patients stands in no error
        pool_size=KEPT_CONNECTIONS,
        max_overflow=connections - KEPT_CONNECTIONS,
        connect_args={"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "do_connect", _connect_read_only)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "checkout", _refuse_outdated)
    event.listen(engine, "begin", _begin)
    return engine


def truncate_log(engine: Engine) -> bool:
    """Move the write-ahead log into the database and truncate it.

    Returns:
        True if that succeeded within `BUSY_SECONDS`.
    """
    connection = engine.raw_connection()  # SQLite refuses this within a transaction
    try:
        cursor = connection.cursor()
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    finally:
        connection.close()


class ReadOnlyConnection(sqlite3.Connection):
    """Connection to a read-only file; SQLite refuses changes with ``SQLITE_READONLY``.

    Attributes:
        path: of the file.
    """

    path: Path


def _refuse_outdated(connection: sqlite3.Connection, _record: Any, _proxy: Any) -> None:
    """Handle SQLAlchemy's ``checkout`` event: reconnect once the file is writable."""
    if isinstance(connection, ReadOnlyConnection) and _is_writable(connection.path):
        raise DisconnectionError


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _connect_read_only(
    _dialect: Dialect, _record: object, arguments: list[Any], named: dict[str, Any]
) -> ReadOnlyConnection | None:
    """Handle SQLAlchemy's ``do_connect`` event; return None if the file is writable.

    A new file is created here, readable by this user only.

    SQLite needs to create files beside a database with a write-ahead log even to read it. If it
    cannot, and there is no log, the database is opened as ``immutable``: a process writing to it
    would have left a log.
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
    # by default sqlite3 begins no transaction for CREATE TABLE, which could leave half a migration;
    # with None it never begins one, and _begin does
    connection.isolation_level = None
    if isinstance(connection, ReadOnlyConnection):
        return
    # FULL: committed transactions survive a power cut (one fsync for each)
    # secure_delete: deleted data is overwritten, whatever SQLite's build defaults to
    _write_ahead(connection)
    for setting in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch a new file to write-ahead logging, waiting for processes that do the same.

    SQLite does not apply its busy timeout to this statement.
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
    # a transaction that reads first and writes later would fail without waiting if another one
    # wrote in between; so writers declare themselves at the start
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
