"""Maps errors of SQLite and PostgreSQL to domain errors."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    DatabaseIncomplete,
    DatabaseUnreachable,
    ReadOnlyStorage,
    StorageFull,
    XemplarError,
)

REMEDIES = {
    StorageFull: "free disk space or raise the quota, and try again",
    ReadOnlyStorage: "use a server or mount that accepts writes, or grant write permission",
    CorruptArtefact: "restore it from a backup",
    DatabaseIncomplete: "name the right database and schema, or grant the missing privileges",
    DatabaseUnreachable: "check address, privileges and that the server is running (--database, "
    "XEMPLAR_DATABASE_URL)",
}

SQLITE: dict[int, type[XemplarError]] = {
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_READONLY: ReadOnlyStorage,
    sqlite3.SQLITE_CORRUPT: CorruptArtefact,
    sqlite3.SQLITE_NOTADB: CorruptArtefact,
}

POSTGRES: dict[str, type[XemplarError]] = {
    "53100": StorageFull,  # disk_full
    "53400": StorageFull,  # configuration_limit_exceeded, as temp_file_limit
    "3F000": DatabaseIncomplete,  # invalid_schema_name
    "42501": DatabaseIncomplete,  # insufficient_privilege
    "42703": DatabaseIncomplete,  # undefined_column
    "42P01": DatabaseIncomplete,  # undefined_table
    "25006": ReadOnlyStorage,  # read_only_sql_transaction: also a standby, after a failover
    "0A000": ReadOnlyStorage,  # feature_not_supported: an unlogged table, on a standby
    "XX001": CorruptArtefact,  # data_corrupted
    "XX002": CorruptArtefact,  # index_corrupted
}

LACKING = ("no such table", "no such column")
"""Beginnings of SQLite's messages, which have no error code of their own."""

ROOM = 1 << 20
"""Free bytes below which SQLite's "disk I/O error" and "unable to open" mean a full disk."""


def failure(engine: Engine, error: DBAPIError | PoolTimeout) -> XemplarError | None:
    """Return the domain error for a database error; None for an unexpected one."""
    kind = _kind(engine, error)
    return None if kind is None else _domain_error(kind, engine, error)


def unusable(engine: Engine, error: DBAPIError | PoolTimeout) -> XemplarError:
    """Like `failure`, on opening a database: an unexpected error means a wrong database."""
    return _domain_error(_kind(engine, error) or ConfigurationError, engine, error)


def _domain_error(
    kind: type[XemplarError], engine: Engine, error: DBAPIError | PoolTimeout
) -> XemplarError:
    where = engine.url.render_as_string(hide_password=True)
    reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    remedy = REMEDIES.get(kind, REMEDIES[DatabaseUnreachable])
    return kind(f"the catalog {where} cannot be used: {reason}; {remedy}")


def _kind(engine: Engine, error: DBAPIError | PoolTimeout) -> type[XemplarError] | None:
    cause = error.orig if isinstance(error, DBAPIError) else None
    kind: type[XemplarError] | None = None
    if isinstance(cause, sqlite3.Error):
        kind = sqlite_kind(cause, Path(engine.url.database or ""))
    elif cause is not None:
        kind = POSTGRES.get(getattr(cause, "sqlstate", None) or "")
    if kind is None and isinstance(error, InterfaceError | OperationalError | PoolTimeout):
        return DatabaseUnreachable
    return kind


def sqlite_kind(error: sqlite3.Error, file: Path) -> type[XemplarError] | None:
    """Return the domain error type for an SQLite error; None if disk and file are not the cause.

    Args:
        error: from SQLite.
        file: the database file.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _state_of_disk(file.parent)
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(LACKING):
        return DatabaseIncomplete
    return SQLITE.get(code)


def _state_of_disk(folder: Path) -> type[XemplarError] | None:
    """Find a cause that SQLite does not report: it cannot create or extend auxiliary files."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return ReadOnlyStorage
    return StorageFull if disk.f_bavail * disk.f_frsize < ROOM else None
