"""What a database refuses becomes an error of the domain that names cause and mend."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, ProgrammingError

from tests.system.disk import NoDisk, small_disk
from tests.system.postgres import Postgres
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.failures import failure
from xemplar.catalog.schema import check_writable, connect, reading, writing
from xemplar.errors import (
    CorruptArtefact,
    DatabaseIncomplete,
    DatabaseUnreachable,
    ReadOnlyStorage,
    StorageFull,
    XemplarError,
)


class OfServer(Exception):
    """As psycopg's errors are: with the server's code."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("what the server says")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("wrapped", "code", "kind"),
    [
        (OperationalError, "53100", StorageFull),
        (InternalError, "25006", ReadOnlyStorage),
        (InternalError, "XX001", CorruptArtefact),
        (OperationalError, "57P01", DatabaseUnreachable),
        (OperationalError, None, DatabaseUnreachable),
        (ProgrammingError, "42P01", DatabaseIncomplete),
        (ProgrammingError, "42501", DatabaseIncomplete),
        (ProgrammingError, "42601", None),
    ],
)
def test_each_code_of_postgresql_has_its_error(
    wrapped: type[DBAPIError], code: str | None, kind: type[XemplarError] | None
) -> None:
    engine = create_engine("sqlite:///x")
    error = failure(engine, wrapped("SELECT 1", {}, OfServer(code)))
    assert (None if error is None else type(error)) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_READONLY_DBMOVED, ReadOnlyStorage),
        (sqlite3.SQLITE_CORRUPT, CorruptArtefact),
        (sqlite3.SQLITE_NOTADB, CorruptArtefact),
        (sqlite3.SQLITE_BUSY, DatabaseUnreachable),
    ],
)
def test_each_code_of_sqlite_has_its_error(
    tmp_path: Path, code: int, kind: type[XemplarError]
) -> None:
    cause = sqlite3.OperationalError("what SQLite says")
    cause.sqlite_errorcode = code
    engine = create_engine(f"sqlite:///{tmp_path / 'x'}")
    assert type(failure(engine, OperationalError("SELECT 1", {}, cause))) is kind


@pytest.mark.parametrize("asked", ["SELECT 1 FROM absent", "SELECT absent FROM cases"])
def test_a_table_or_column_that_is_not_there_is_said_to_be_missing(url: str, asked: str) -> None:
    migrate(url)
    engine = connect(url)
    with pytest.raises(DatabaseIncomplete), reading(engine) as connection:
        connection.execute(text(asked))
    engine.dispose()


def test_no_error_of_a_database_holds_what_is_stored(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'x'}")
    with pytest.raises(DBAPIError) as refused, engine.connect() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE patient = :p"), {"p": "surname"})
    assert "surname" not in str(refused.value)
    engine.dispose()


def test_sqlite_on_a_full_disk_and_on_a_read_only_one() -> None:
    try:
        with small_disk(2) as disk:
            url = f"sqlite:///{disk.root / 'catalog.sqlite'}"
            migrate(url)
            with open_catalog(url) as catalog:
                assert catalog.count() == 0
                disk.fill()
                with pytest.raises(StorageFull), writing(catalog.engine) as connection:
                    connection.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000) AS x"))
                assert catalog.count() == 0
            disk.fill()
            with pytest.raises(StorageFull):  # SQLite cannot make the files that it needs
                open_catalog(url)
            disk.free()
            disk.remount("ro")
            with open_catalog(url) as catalog:
                assert catalog.count() == 0
                with pytest.raises(ReadOnlyStorage):
                    check_writable(catalog.engine)
                disk.remount("rw")
                check_writable(catalog.engine)
    except NoDisk as reason:
        pytest.skip(str(reason))


def test_a_standby_answers_and_is_told_from_a_server_that_takes_writes(postgres: Postgres) -> None:
    url = postgres.create("standby")
    migrate(url)
    engine = connect(f"{url}&options=-c%20default_transaction_read_only%3Don")
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM cases")) == 0
    with pytest.raises(ReadOnlyStorage):
        check_writable(engine)
    engine.dispose()
    engine = connect(url)
    check_writable(engine)
    engine.dispose()
