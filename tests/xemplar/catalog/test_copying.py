"""A copied catalog has the same rows, whichever of the databases it comes from and goes to."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Double, LargeBinary, String, delete, insert, select

from tests.system.postgres import Postgres
from tests.xemplar.catalog.test_catalog import entry
from tests.xemplar.conftest import temporary_database
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.copying import PASSING, copy_catalog
from xemplar.catalog.schema import connect, reading, writing
from xemplar.catalog.table_base import Base, UtcTime
from xemplar.catalog.tables import ChangeRow, RememberedQueryRow
from xemplar.errors import XemplarError

Rows = dict[str, list[tuple[Any, ...]]]

VALUES: list[tuple[type, Callable[[int], Any]]] = [
    (JSON, lambda n: {"Mass": n, "é": [None, "\\n\t", 0.1]}),
    (Boolean, lambda n: n % 2 == 0),
    (Double, lambda n: 0.1 * n),
    (LargeBinary, lambda n: bytes(range(256)) * n),
    (String, lambda n: f"{n}\\\t\n'é"),
    (UtcTime, lambda n: datetime(2025, 3, 1, 1, 2, 3, 4 * n, UTC) - timedelta(days=n)),
]
"""A value of each type, of which there are as many as one wants; others are numbers."""


def value(column: Column[Any], number: int) -> Any:
    if column.nullable and number == 2:
        return None
    for kind, of_number in VALUES:
        if isinstance(column.type, kind):
            found = of_number(number)
            return found[: column.type.length] if isinstance(column.type, String) else found
    return number


def fill(url: str) -> None:
    """Put three rows into each table: values of all types, and none where there may be none."""
    engine = connect(url)
    with writing(engine) as connection:
        connection.execute(delete(ChangeRow))
        for table in Base.metadata.sorted_tables:
            numbers = (7,) if table.name == ChangeRow.__tablename__ else (1, 2, 3)
            rows = [{c.name: value(c, number) for c in table.columns} for number in numbers]
            connection.execute(insert(table), rows)
    engine.dispose()


def content(url: str) -> Rows:
    engine = connect(url)
    with reading(engine) as connection:
        found = {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


@pytest.fixture(params=["new", "sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that does not exist, or one with an empty catalog."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        with temporary_database(server, request.getfixturevalue("postgres_template")) as made:
            yield made
        return
    made = f"sqlite:///{tmp_path / 'copies' / 'copy.sqlite'}"
    if request.param == "sqlite":
        migrate(made)
    yield made


def test_every_value_of_every_table_is_copied(migrated: str, target: str) -> None:
    fill(migrated)
    copy_catalog(migrated, target)
    copied, original = content(target), content(migrated)
    for name in PASSING:
        assert len(original.pop(name)) == 3
        assert copied.pop(name) == []
    assert copied == original
    assert {name: len(rows) for name, rows in copied.items() if len(rows) != 3} == {
        ChangeRow.__tablename__: 1
    }


def test_no_byte_of_a_remembered_query_is_in_a_copy(tmp_path: Path) -> None:
    original, copy = (f"sqlite:///{tmp_path / name}" for name in ("old.sqlite", "new.sqlite"))
    migrate(original)
    engine = connect(original)
    with writing(engine) as connection:
        row = {"id": "1" * 16, "image_id": "2" * 16, "shared": False, "at": datetime.now(UTC)}
        connection.execute(insert(RememberedQueryRow), [row | {"content": b"of a query" * 9_999}])
    engine.dispose()
    copy_catalog(original, copy)
    assert b"of a query" in (tmp_path / "old.sqlite").read_bytes()
    assert b"of a query" not in (tmp_path / "new.sqlite").read_bytes()


def test_a_copy_is_a_catalog_that_goes_on_with_the_next_number(migrated: str, target: str) -> None:
    with open_catalog(migrated) as catalog:
        catalog.add("c" * 64, [entry(1), entry(2)])
        catalog.remove([catalog.cases([2])[2].case_id])
    copy_catalog(migrated, target)
    with open_catalog(target) as copy:
        copy.add("c" * 64, [entry(3)])
        assert copy.embedded_ids("c" * 64).tolist() == [1, 3]


def test_what_is_written_meanwhile_is_in_the_copy_whole_or_not_at_all(tmp_path: Path) -> None:
    """A transaction that is not finished is not in it, and does not make it wait."""
    source, target = (f"sqlite:///{tmp_path / name}.sqlite" for name in ("source", "target"))
    migrate(source)
    with open_catalog(source) as catalog:
        catalog.add("c" * 64, [entry(1)])
        with writing(catalog.engine) as connection:
            connection.execute(delete(ChangeRow))
            copy_catalog(source, target)
    with open_catalog(target) as copy:
        assert copy.version() == 1
        assert copy.count() == 1


def test_a_file_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'source.sqlite'}"
    migrate(source)
    (tmp_path / "copy.sqlite").mkdir()
    with pytest.raises(XemplarError, match=r"copy\.sqlite cannot be used: unable to open"):
        copy_catalog(source, f"sqlite:///{tmp_path / 'copy.sqlite'}")


def test_a_damaged_source_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "source.sqlite"
    migrate(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as damaged:
        damaged.truncate(file.stat().st_size // 2)
    with pytest.raises(XemplarError, match=r"source\.sqlite cannot be used"):
        copy_catalog(f"sqlite:///{file}", f"sqlite:///{tmp_path / 'copy.sqlite'}")


def test_a_value_that_the_other_database_does_not_take_is_refused(
    tmp_path: Path, postgres: Postgres, postgres_template: str
) -> None:
    source = f"sqlite:///{tmp_path / 'source.sqlite'}"
    migrate(source)
    with open_catalog(source) as catalog:
        catalog.add("c" * 64, [entry(1, source="a\0b")])
    with (
        temporary_database(postgres, postgres_template) as target,
        pytest.raises(XemplarError, match=r"test_.* cannot be used: .*NUL"),
    ):
        copy_catalog(source, target)


def test_nothing_of_a_removed_case_is_in_a_copied_file(tmp_path: Path) -> None:
    """Pages are copied with what no row refers to; SQLite overwrites it (``secure_delete``)."""
    file, copy = tmp_path / "source.sqlite", tmp_path / "copy.sqlite"
    migrate(f"sqlite:///{file}")
    names = [f"name-{number:04d}-".ljust(20 + number % 60, "x") for number in range(300)]
    with open_catalog(f"sqlite:///{file}") as catalog:
        for first in range(0, 300, 50):
            rows = [(n, names[n]) for n in range(first, first + 50)]
            catalog.add("c" * 64, [entry(number, file=name) for number, name in rows])
        ids = [catalog.cases([number])[number].case_id for number in range(1, 301)]
        for first in range(0, 100, 10):
            catalog.remove([ids[place] for place in range(first, 300, 100)])
            catalog.remove(ids[200 + first : 210 + first])
        left = {case.file for case in catalog.cases(range(1, 301)).values()}
    copy_catalog(f"sqlite:///{file}", f"sqlite:///{copy}")
    content = copy.read_bytes()
    assert 100 < len(left) < 300
    assert {name for name in names if name.encode() in content} == left
