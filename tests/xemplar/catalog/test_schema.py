"""The schema: migrations equal the models, run once, and no other schema is touched."""

import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from tests.xemplar.catalog.test_catalog import entry
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.schema import _config, connect, head
from xemplar.catalog.table_base import Base
from xemplar.catalog.tables import CaseRow, FindingRow
from xemplar.errors import ConfigurationError, CorruptArtefact, DatabaseUnreachable, Mismatch
from xemplar.operations.raters import Rater, Raters
from xemplar.operations.ratings import Ratings


def is_declared(name: str | None, _kind: str, _parents: object) -> bool:
    """False for the index of terms, of each database's own kind, which no model can declare."""
    return not (name or "").startswith(("report_terms", "ix_case_reports_terms"))


def test_migrations_make_exactly_the_models(url: str) -> None:
    migrate(url)
    engine = connect(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": is_declared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_an_engine_takes_as_many_connections_as_asked_for(url: str) -> None:
    migrate(url)
    engine = connect(url, connections=20)  # by itself an engine takes 15
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(engine.connect())
        assert engine.pool.checkedout() == 20  # type: ignore[attr-defined]
    engine.dispose()


def test_migrating_again_changes_nothing(url: str) -> None:
    migrate(url)
    migrate(url)
    open_catalog(url).close()


def test_two_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [url] * 4))
    open_catalog(url).close()


def test_an_empty_database_is_refused_with_the_command_that_mends_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="xemplar index"):
        open_catalog(url)


def test_looking_for_a_catalog_creates_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no catalog"):
        open_catalog(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    migrate(url)
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (open_catalog, migrate):
        with pytest.raises(Mismatch, match=f"9999, which is newer than this software's {head()}"):
            use(url)
    engine.dispose()


def test_an_older_schema_is_refused_by_name(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(url)
    monkeypatch.setattr("xemplar.catalog.schema.head", lambda: "9999")
    with pytest.raises(Mismatch, match=f"has schema {head()}; this software needs 9999"):
        open_catalog(url)


def test_a_failed_migration_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    created = Operations.create_table

    def fail_late(self: Operations, name: str, *columns: object, **options: object) -> object:
        if name == "generations":
            raise KeyboardInterrupt
        return created(self, name, *columns, **options)

    monkeypatch.setattr(Operations, "create_table", fail_late)
    with pytest.raises(KeyboardInterrupt):
        migrate(url)
    monkeypatch.undo()
    migrate(url)
    open_catalog(url).close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user:secret@host/db", "names 'mysql'"),
        ("not a url", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_other_addresses_are_refused(url: str, message: str) -> None:
    for use in (open_catalog, migrate):
        with pytest.raises(ConfigurationError, match=message) as caught:
            use(url)
        assert "secret" not in str(caught.value)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/catalog"
    for use in (open_catalog, migrate):
        with pytest.raises(DatabaseUnreachable, match="check address") as caught:
            use(url)
        assert "secret" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"no database at all" * 100)
    for use in (open_catalog, migrate):
        with pytest.raises(CorruptArtefact, match="not a database"):
            use(f"sqlite:///{tmp_path / 'x.sqlite'}")


def test_a_database_of_the_release_before_keeps_its_cases_and_can_be_filtered(url: str) -> None:
    engine = connect(url)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        labels = {
            "a": {"Mass": 1, "Hernia": 0, "Edema": -1},
            "b": {"Mass": 0, "Hernia": 0},
            "c": {"Mass": 0, "Hernia": -1},
            "d": {},
            "e": {"No Finding": 1, "Mass": 0},
        }
        for name, known in labels.items():
            statement = (
                "INSERT INTO cases (case_id, image_sha256, source, labels, width, height, "
                "created_at) VALUES (:name, :name, 'x', :labels, 1, 1, '2026-01-01 00:00:00+00:00')"
            )
            connection.execute(text(statement), {"name": name, "labels": json.dumps(known)})
    migrate(url)
    with engine.connect() as connection:
        query = select(CaseRow.case_id, FindingRow.finding).join_from(CaseRow, FindingRow)
        found = connection.execute(query.order_by(CaseRow.case_id)).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [
        ("a", "Mass"),
        ("b", "No Finding"),
        ("e", "No Finding"),
    ]


def test_pseudonyms_of_the_release_before_are_told_apart(url: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    patients = {1: ("clinic", "a:1"), 2: ("clinic:a", "1"), 3: ("50% : of:all", "1")}
    store.pseudonym("any", "any")
    key = store.pseudonym_key.read_bytes()
    migrate(url)
    with open_catalog(url) as catalog:
        for number, (source, patient) in patients.items():
            joined = hmac.new(key, f"{source}:{patient}".encode(), "sha256").hexdigest()[:16]
            catalog.add("c" * 64, [entry(number, source=source, patient=joined)])
        catalog.add("c" * 64, [entry(4, source="clinic:a")])  # nobody knows whose it is
        config = _config()
        with catalog.engine.connect().execution_options(write=True) as old, old.begin():
            config.attributes["connection"] = old
            command.downgrade(config, "0002")
    with pytest.raises(ConfigurationError, match=r"2 cases have an ambiguous patient.*--store"):
        migrate(url)
    migrate(url, store)
    with open_catalog(url) as catalog:
        found = {number: case.patient for number, case in catalog.cases(range(1, 5)).items()}
    assert found == {n: store.pseudonym(*who) for n, who in patients.items()} | {4: None}


def test_ratings_of_the_release_before_are_kept_and_are_no_key_s(url: str) -> None:
    migrate(url)
    with open_catalog(url) as catalog:
        catalog.add("c" * 64, [entry(1)])
        config = _config()
        with catalog.engine.connect().execution_options(write=True) as old, old.begin():
            config.attributes["connection"] = old
            command.downgrade(config, "0003")
            old.execute(
                text(
                    "INSERT INTO ratings SELECT 'ffffffffffffffff', 'ann', id, 4, created_at "
                    "FROM cases"
                )
            )
    migrate(url)
    with open_catalog(url) as catalog:
        assert [(one.rater, one.rating) for one in Ratings(catalog.engine).history()] == [
            ("ann", 4)
        ]
        assert Raters(catalog.engine).list() == [Rater("ann", None)]


def test_cases_of_the_release_before_have_not_changed_since(url: str) -> None:
    migrate(url)
    with open_catalog(url) as catalog:
        catalog.add("c" * 64, [entry(1), entry(2)])
        config = _config()
        with catalog.engine.connect().execution_options(write=True) as old, old.begin():
            config.attributes["connection"] = old
            command.downgrade(config, "0007")
    migrate(url)
    with open_catalog(url) as catalog:
        assert catalog.described_ids(0).tolist() == []
        assert catalog.embedded_ids("c" * 64, 0).tolist() == [1, 2]
        catalog.describe(catalog.cases([2])[2].case_id, {"sex": "F"})
        assert catalog.described_ids(0).tolist() == [2]
