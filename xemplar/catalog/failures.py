"""Errors of SQLite and PostgreSQL as errors of the domain."""

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
    StorageFull: "make room on its disk, or raise the quota, and try again",
    ReadOnlyStorage: "name the server or the mount that takes writes, or grant the right to write",
    CorruptArtefact: "restore it from a backup",
    DatabaseIncomplete: "name the right database and schema, or grant this user its rights again",
    DatabaseUnreachable: "check the address, the rights and that the server runs (--database, "
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
    "XX001": CorruptArtefact,  # data_corrupted
    "XX002": CorruptArtefact,  # index_corrupted
}

LACKING = ("no such table", "no such column")
"""How SQLite says it, which has no code for that."""

ROOM = 1 << 20
"""Bytes: with less on the disk, SQLite's "disk I/O error" and "unable to open" mean a full one."""


def failure(engine: Engine, error: DBAPIError | PoolTimeout) -> XemplarError | None:
    """The error of the domain that a database's error stands for; None for an unexpected one."""
    kind = _kind(engine, error)
    return None if kind is None else _said(kind, engine, error)


def unusable(engine: Engine, error: DBAPIError | PoolTimeout) -> XemplarError:
    """The same where a database is opened: an unexpected error means that it is the wrong one."""
    return _said(_kind(engine, error) or ConfigurationError, engine, error)


def _said(
    kind: type[XemplarError], engine: Engine, error: DBAPIError | PoolTimeout
) -> XemplarError:
    where = engine.url.render_as_string(hide_password=True)
    reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    mend = REMEDIES.get(kind, REMEDIES[DatabaseUnreachable])
    return kind(f"the catalog {where} cannot be used: {reason}; {mend}")


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
    """The kind of error that SQLite's stands for; None where it says nothing of disk or file.

    Args:
        error: as SQLite gave it.
        file: of the database.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _state_of_disk(file.parent)
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(LACKING):
        return DatabaseIncomplete
    return SQLITE.get(code)


def _state_of_disk(folder: Path) -> type[XemplarError] | None:
    """What SQLite does not say: it cannot grow, or make, the files beside its own."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return ReadOnlyStorage
    return StorageFull if disk.f_bavail * disk.f_frsize < ROOM else None
