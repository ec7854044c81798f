"""Collections of cases and queries: whose they are, what is in them, what the database tells."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.xemplar.catalog.test_catalog import entry
from xemplar.archive.store import Store
from xemplar.catalog import Access, Catalog, case_id_of
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.table_base import Base
from xemplar.catalog.tables import CollectionRow, SavedQueryRow
from xemplar.errors import InvalidArgument, NotFound, TooManySaved
from xemplar.operations import collections as limits
from xemplar.operations.collection import SavedQuery
from xemplar.operations.collections import Collections
from xemplar.operations.keys import Keys, Role
from xemplar.operations.saved_queries import SavedQueries

DAYS = 365.0
QUERY = SavedQuery("5f2b6c0a9d3e4f71", "0fd0a7f2b8a1c9de", b"what explains it")


@pytest.fixture
def collections(catalog: Catalog, store: Store) -> Collections:
    return Collections(catalog.engine, store, DAYS)


@pytest.fixture
def saved(catalog: Catalog, store: Store) -> SavedQueries:
    return SavedQueries(catalog.engine, store)


@pytest.fixture
def case(catalog: Catalog) -> str:
    """Id of a case of the source "clinic"."""
    one = entry(1, source="clinic")
    catalog.add("c" * 64, [one])
    return case_id_of(one.image_sha256)


def rows(catalog: Catalog) -> Iterator[bytes]:
    """All values of the three tables that are bytes or text."""
    for name in ("collections", "collection_entries", "saved_queries"):
        with reading(catalog.engine) as connection:
            for row in connection.execute(select(Base.metadata.tables[name])):
                yield from (str(value).encode() for value in row if isinstance(value, str))
                yield from (value for value in row if isinstance(value, bytes))


def test_a_collection_holds_cases_and_queries_with_their_notes(
    collections: Collections, case: str
) -> None:
    made = collections.create("ann", "Effusions", "for Friday")
    collections.put_case(made.id, "ann", case, "easily missed")
    collections.put_query(made.id, "ann", QUERY, "same side", "k=8")
    found = collections.find(made.id, "ann")
    assert (found.name, found.note, found.entries, found.shared) == (
        *("Effusions", "for Friday"),
        *(2, False),
    )
    first, second = collections.entries(made.id)
    assert (first.subject, first.note, first.kept_until, first.search) == (
        *(case, "easily missed"),
        *(None, ""),
    )
    assert (second.subject, second.case, second.note, second.search) == (
        *(QUERY.id, None),
        *("same side", "k=8"),
    )
    assert second.kept_until is not None
    assert (second.kept_until - second.added_at).days in (364, 365)


def test_putting_again_replaces_the_note_and_keeps_the_place(
    collections: Collections, case: str
) -> None:
    made = collections.create("ann", "x").id
    collections.put_case(made, "ann", case, "first")
    collections.put_query(made, "ann", QUERY)
    collections.put_case(made, "ann", case, "second")
    assert [(one.subject, one.note) for one in collections.entries(made)] == [
        (case, "second"),
        (QUERY.id, ""),
    ]


def test_the_database_alone_tells_neither_texts_nor_queries(
    collections: Collections, case: str, catalog: Catalog
) -> None:
    made = collections.create("ann", "Effusions", "Friday").id
    collections.put_case(made, "ann", case, "missed", "finding=Effusion")
    collections.put_query(made, "ann", QUERY)
    kept = b" ".join(rows(catalog))
    for text in (b"Effusion", b"Friday", b"missed", QUERY.content):
        assert text not in kept
    assert case.encode() in kept


@pytest.mark.parametrize(("owner", "other"), [("ann", "bob"), ("ann", None), (None, "bob")])
def test_a_collection_is_its_key_s_and_readable_to_all_once_shared(
    collections: Collections, saved: SavedQueries, case: str, owner: str | None, other: str | None
) -> None:
    made = collections.create(owner, "x").id
    collections.put_query(made, owner, QUERY)
    with pytest.raises(NotFound, match="another reader's who has not shared it"):
        collections.find(made, other)
    assert saved.find(QUERY.id, other) is None
    assert not saved.has_image(QUERY.image_id, other)
    collections.change(made, owner, {"shared": True})
    assert collections.find(made, other).id == made
    assert saved.find(QUERY.id, other) == QUERY.content
    assert saved.has_image(QUERY.image_id, other)
    assert collections.list(other) == []
    for change in (
        lambda: collections.change(made, other, {"name": "mine"}),
        lambda: collections.put_case(made, other, case),
        lambda: collections.drop(made, other, QUERY.id),
        lambda: collections.remove(made, other),
    ):
        with pytest.raises(NotFound, match="shared ones are changed by their owner alone"):
            change()
    collections.change(made, owner, {"shared": False})
    assert saved.find(QUERY.id, other) is None


def test_changes_replace_what_they_name(collections: Collections) -> None:
    made = collections.create("ann", "x", "y").id
    changed = collections.change(made, "ann", {"note": "z"})
    assert (changed.name, changed.note, changed.shared) == ("x", "z", False)


def test_a_query_is_kept_until_it_is_in_no_collection(
    collections: Collections, saved: SavedQueries
) -> None:
    one, two = (collections.create("ann", name).id for name in ("one", "two"))
    for name in (one, two):
        collections.put_query(name, "ann", QUERY)
    collections.drop(one, "ann", QUERY.id)
    assert saved.find(QUERY.id, "ann") == QUERY.content
    collections.remove(two, "ann")
    assert saved.find(QUERY.id, "ann") is None
    with pytest.raises(NotFound, match="not in this collection"):
        collections.drop(one, "ann", QUERY.id)


def test_a_removed_case_leaves_collections_and_the_queries_of_its_image(
    collections: Collections, saved: SavedQueries, catalog: Catalog, case: str
) -> None:
    made = collections.create("ann", "x").id
    collections.put_case(made, "ann", case)
    collections.put_query(made, "ann", SavedQuery(QUERY.id, case, b"of the case's image"))
    catalog.remove([case])
    assert collections.entries(made) == []
    assert saved.find(QUERY.id, "ann") is None


def test_cases_of_other_sources_are_neither_put_in_nor_shown(
    collections: Collections, case: str
) -> None:
    made = collections.create("ann", "x").id
    collections.put_case(made, "ann", case)
    elsewhere = collections.bound(Access(sources=frozenset({"ward"})))
    assert elsewhere.entries(made) == []
    with pytest.raises(NotFound, match="there is no case"):
        elsewhere.put_case(made, "ann", case)


def test_old_queries_are_forgotten_with_their_entries(
    collections: Collections, saved: SavedQueries, catalog: Catalog, case: str
) -> None:
    made = collections.create("ann", "x").id
    collections.put_query(made, "ann", QUERY)
    collections.put_case(made, "ann", case)
    saved.forget(DAYS)
    assert saved.find(QUERY.id, "ann") is not None
    with writing(catalog.engine) as connection:
        for row in connection.execute(select(SavedQueryRow.id, SavedQueryRow.saved_at)).all():
            old = row.saved_at.replace(year=row.saved_at.year - 2)
            connection.execute(update(SavedQueryRow).values(saved_at=old))
    saved.forget(DAYS)
    assert saved.find(QUERY.id, "ann") is None
    assert [one.subject for one in collections.entries(made)] == [case]


def test_a_service_may_save_no_queries(catalog: Catalog, store: Store, case: str) -> None:
    collections = Collections(catalog.engine, store, 0)
    made = collections.create("ann", "x").id
    collections.put_case(made, "ann", case)
    with pytest.raises(InvalidArgument, match="XEMPLAR_SAVED_DAYS is 0"):
        collections.put_query(made, "ann", QUERY)


def test_limits_leave_no_partial_change(
    collections: Collections, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = collections.create("ann", "x").id
    collections.put_case(made, "ann", case)
    for limit in ("MAX_COLLECTIONS", "MAX_ENTRIES"):
        monkeypatch.setattr(limits, limit, 1)
    monkeypatch.setattr(limits, "MAX_QUERIES", 0)
    with pytest.raises(TooManySaved, match="1 collections"):
        collections.create("ann", "y")
    collections.put_case(made, "ann", case, "changed")
    with pytest.raises(TooManySaved, match="1 entries"):
        collections.put_query(made, "ann", QUERY)
    monkeypatch.setattr(limits, "MAX_ENTRIES", 2)
    with pytest.raises(TooManySaved, match="saved 0 queries"):
        collections.put_query(made, "ann", QUERY)
    assert len(collections.entries(made)) == 1
    collections.create("bob", "of another key")


def test_collections_are_given_to_another_key(collections: Collections, catalog: Catalog) -> None:
    new, _ = Keys(catalog.engine).create("new", Role.READER)
    for owner in ("old", "old", None):
        collections.create(owner, "x")
    assert collections.give("old", new.id) == 2
    assert len(collections.list(new.id)) == 2
    assert collections.give(None, new.id) == 1
    with pytest.raises(NotFound, match="no key"):
        collections.give(new.id, "0" * 16)


def test_what_another_store_sealed_hides_nothing_else(
    collections: Collections, catalog: Catalog, tmp_path: Path
) -> None:
    other = Collections(catalog.engine, Store(tmp_path / "other"), DAYS)
    made = other.create("ann", "sealed there").id
    collections.create("ann", "sealed here")
    assert {one.name for one in collections.list("ann")} == {None, "sealed here"}
    collections.remove(made, "ann")
    with reading(catalog.engine) as connection:
        assert len(connection.scalars(select(CollectionRow.id)).all()) == 1
