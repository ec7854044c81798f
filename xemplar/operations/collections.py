"""Readers' collections of cases and queries: teaching files, and queries that are saved."""

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.archive.store import Store
from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import (
    CaseRow,
    CollectionEntryRow,
    CollectionRow,
    KeyRow,
    SavedQueryRow,
)
from xemplar.errors import InvalidArgument, Mismatch, NotFound, TooManySaved
from xemplar.operations.collection import (
    Collection,
    CollectionEntry,
    SavedQuery,
    name_of_query,
    owned,
    readable,
)

MAX_COLLECTIONS = 200
"""Collections of one key."""

MAX_ENTRIES = 500
"""Cases and queries of one collection."""

MAX_QUERIES = 200
"""Saved queries in all collections of one key, of up to 1.4 MB each."""

LOG = logging.getLogger("xemplar")


class Collections:
    """The collections in the catalog's database. Safe to share between threads.

    What readers write and what explains a query, with its image, is sealed with the store's key:
    the database alone tells which key collected which case, and when.

    A collection is its owner's, and everybody's to read once it is shared. In an error a
    collection of another key does not differ from one that never was.
    """

    def __init__(
        self, engine: Engine, store: Store, days: float, access: Access = EVERYTHING
    ) -> None:
        """``days``: for which saved queries are kept; 0 to save none."""
        self._engine = engine
        self._store = store
        self._days = days
        self._access = access

    def bound(self, access: Access) -> Self:
        """Return a copy within a caller's access: other cases do not exist for it."""
        return type(self)(self._engine, self._store, self._days, access)

    def list(self, key: str | None) -> Sequence[Collection]:
        """Return the collections of a key, those that changed last first."""
        return self._collections(owned(key))

    def find(self, collection_id: str, key: str | None) -> Collection:
        """Return a collection that is the key's, or shared.

        Raises:
            NotFound: there is none.
        """
        which = (CollectionRow.id == collection_id) & readable(key)
        for one in self._collections(which):
            return one
        raise _unknown(collection_id)

    def entries(self, collection_id: str) -> Sequence[CollectionEntry]:
        """Return the entries of a collection that `find` returned, in the order of addition.

        Cases outside the caller's limits are left out.
        """
        row, saved = CollectionEntryRow, SavedQueryRow
        query = (
            select(row.subject, row.case, row.added_at, row.sealed, saved.saved_at, CaseRow.source)
            .outerjoin(saved, saved.id == row.query)
            .outerjoin(CaseRow, CaseRow.id == row.case)
            .where(row.collection == collection_id)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(row.added_at, row.subject)).all()
        return [
            self._entry(collection_id, one)
            for one in found
            if one.case is None or self._access.sees(one.source)
        ]

    def create(self, key: str | None, name: str, note: str = "") -> Collection:
        """Make an empty collection.

        Raises:
            TooManySaved: the key has `MAX_COLLECTIONS` already.
        """
        made, now = secrets.token_hex(8), datetime.now(UTC)
        sealed = self._seal({"name": name, "note": note}, made)
        with writing(self._engine) as connection:
            count = select(func.count()).select_from(CollectionRow).where(owned(key))
            if (connection.scalar(count) or 0) >= MAX_COLLECTIONS:
                raise TooManySaved(
                    f"this key has {MAX_COLLECTIONS} collections, which is the limit; remove one"
                )
            row = CollectionRow.__table__.insert()  # type: ignore[attr-defined]  # it is a Table
            values = {"id": made, "key": key, "shared": False, "changed_at": now, "sealed": sealed}
            connection.execute(row.values(**values))
        return Collection(made, key, False, now, name, note, 0)

    def change(
        self, collection_id: str, key: str | None, changes: Mapping[str, str | bool]
    ) -> Collection:
        """Change name, note or `shared` of a collection of the key.

        Raises:
            NotFound: the key has none of this id.
        """
        with writing(self._engine) as connection:
            row = _locked(connection, collection_id, key)
            texts = self._unseal(row.sealed, collection_id) or {}
            texts |= {name: changes[name] for name in ("name", "note") if name in changes}
            _touch(
                connection,
                collection_id,
                shared=changes.get("shared", row.shared),
                sealed=self._seal(texts, collection_id),
            )
        return self.find(collection_id, key)

    def remove(self, collection_id: str, key: str | None) -> None:
        """Delete a collection of the key, and the queries that are in no other.

        Raises:
            NotFound: the key has none of this id.
        """
        with writing(self._engine) as connection:
            _locked(connection, collection_id, key)
            connection.execute(delete(CollectionRow).where(CollectionRow.id == collection_id))
            _delete_loose(connection)

    def put_case(
        self,
        collection_id: str,
        key: str | None,
        case_id: str,
        note: str = "",
        search: str = "",
    ) -> None:
        """Put a case into a collection of the key, or replace its note and conditions.

        Raises:
            NotFound: the key has no such collection, or may see no such case.
            TooManySaved: the collection is full.
        """
        wanted = select(CaseRow.id).where(CaseRow.case_id == case_id, *self._access.conditions())
        with writing(self._engine) as connection:
            _locked(connection, collection_id, key)
            case = connection.scalar(wanted.with_for_update(key_share=True))
            if case is None:
                raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
            self._put(connection, collection_id, case_id, note, search, case=case)

    def put_query(
        self,
        collection_id: str,
        key: str | None,
        query: SavedQuery,
        note: str = "",
        search: str = "",
    ) -> None:
        """Save a query in a collection of the key, or replace its note and conditions.

        Its retention begins anew.

        Raises:
            InvalidArgument: no queries are saved here.
            NotFound: the key has no such collection.
            TooManySaved: the collection is full, or the key has saved `MAX_QUERIES`.
        """
        if not self._days:
            raise InvalidArgument(
                "this service saves no queries (XEMPLAR_SAVED_DAYS is 0); put similar past cases "
                "into the collection instead"
            )
        values = {
            "id": query.id,
            "image_id": query.image_id,
            "saved_at": datetime.now(UTC),
            "sealed": self._store.seal(query.content, name_of_query(query.id)),
        }
        with writing(self._engine) as connection:
            _locked(connection, collection_id, key)
            statement = self._insert(SavedQueryRow).values(values)
            again = {"saved_at": values["saved_at"]}
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again))
            self._put(connection, collection_id, query.id, note, search, query=query.id)
            _check_queries(connection, key)

    def drop(self, collection_id: str, key: str | None, subject: str) -> None:
        """Take a case or a query out of a collection of the key.

        Raises:
            NotFound: the key has no such collection, or it is not in it.
        """
        row = CollectionEntryRow
        mine = (row.collection == collection_id) & (row.subject == subject)
        with writing(self._engine) as connection:
            _locked(connection, collection_id, key)
            if not connection.execute(delete(row).where(mine)).rowcount:
                raise NotFound(f"{subject[:64]!r} is not in this collection")
            _touch(connection, collection_id)
            _delete_loose(connection)

    def give(self, previous: str | None, key: str) -> int:
        """Give a key all collections of another one, or those that belong to none.

        Returns:
            Their number.

        Raises:
            NotFound: there is no such valid key.
        """
        good = select(KeyRow.id).where(KeyRow.id == key, KeyRow.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if connection.scalar(good) is None:
                raise NotFound(
                    f"there is no key {key[:64]!r} that is good; `xemplar keys list` shows all"
                )
            statement = update(CollectionRow).where(owned(previous)).values(key=key)
            return connection.execute(statement).rowcount

    def _collections(self, which: ColumnElement[bool]) -> Sequence[Collection]:
        row, entry = CollectionRow, CollectionEntryRow
        count = select(func.count()).where(entry.collection == row.id).scalar_subquery()
        query = select(row.id, row.key, row.shared, row.changed_at, row.sealed, count).where(which)
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(row.changed_at.desc(), row.id)).all()
        return [self._collection(*one) for one in found]

    def _collection(
        self,
        name: str,
        key: str | None,
        shared: bool,
        changed_at: datetime,
        sealed: bytes,
        entries: int,
    ) -> Collection:
        texts = self._unseal(sealed, name) or {}
        said = texts.get("name"), texts.get("note", "")
        return Collection(name, key, shared, changed_at, *said, entries)

    def _entry(self, collection_id: str, row: Any) -> CollectionEntry:
        said = self._unseal(row.sealed, f"{collection_id} {row.subject}") or {}
        note, search = said.get("note", ""), said.get("search", "")
        until = row.saved_at and row.saved_at + timedelta(days=self._days)
        return CollectionEntry(row.subject, row.case, row.added_at, until, note, search)

    def _put(
        self,
        connection: Connection,
        collection_id: str,
        subject: str,
        note: str,
        search: str,
        **which: int | str,
    ) -> None:
        """Insert or replace an entry, which keeps its place."""
        sealed = self._seal({"note": note, "search": search}, f"{collection_id} {subject}")
        now = datetime.now(UTC)
        values = {"collection": collection_id, "subject": subject, "added_at": now, **which}
        statement = self._insert(CollectionEntryRow).values(**values, sealed=sealed)
        place = ["collection", "subject"]
        connection.execute(
            statement.on_conflict_do_update(index_elements=place, set_={"sealed": sealed})
        )
        row = CollectionEntryRow
        count = select(func.count()).where(row.collection == collection_id)
        if (connection.scalar(count) or 0) > MAX_ENTRIES:
            raise TooManySaved(
                f"this collection has {MAX_ENTRIES} entries, which is the limit; begin another one"
            )
        _touch(connection, collection_id)

    def _insert(self, table: type[SavedQueryRow | CollectionEntryRow]) -> Any:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    def _seal(self, texts: Mapping[str, Any], name: str) -> bytes:
        return self._store.seal(json.dumps(texts).encode(), f"collection {name}")

    def _unseal(self, sealed: bytes, name: str) -> dict[str, Any] | None:
        try:
            texts: dict[str, Any] = json.loads(self._store.unseal(sealed, f"collection {name}"))
        except Mismatch as error:
            LOG.warning("a text of a collection cannot be read: %s", error)
            return None
        return texts


def _unknown(collection_id: str) -> NotFound:
    return NotFound(
        f"collection {collection_id[:32]!r} is unknown, or another reader's who has not shared it"
    )


def _locked(connection: Connection, collection_id: str, key: str | None) -> Row[bool, bytes]:
    """Lock a collection of the key until the transaction ends.

    Raises:
        NotFound: the key has none of this id, though it may read one that is shared.
    """
    mine = (CollectionRow.id == collection_id) & owned(key)
    query = select(CollectionRow.shared, CollectionRow.sealed).where(mine).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(
            f"this key has no collection {collection_id[:32]!r}; shared ones are changed by their "
            "owner alone"
        )
    return row


def _touch(connection: Connection, collection_id: str, **values: Any) -> None:
    statement = update(CollectionRow).where(CollectionRow.id == collection_id)
    connection.execute(statement.values(changed_at=datetime.now(UTC), **values))


def _delete_loose(connection: Connection) -> None:
    """Delete saved queries that are in no collection."""
    used = select(CollectionEntryRow.query).where(CollectionEntryRow.query == SavedQueryRow.id)
    connection.execute(delete(SavedQueryRow).where(~used.exists()))


def _check_queries(connection: Connection, key: str | None) -> None:
    entry = CollectionEntryRow
    count = select(func.count(entry.query.distinct()))
    count = count.join(CollectionRow, CollectionRow.id == entry.collection).where(owned(key))
    if (connection.scalar(count) or 0) > MAX_QUERIES:
        raise TooManySaved(
            f"this key has saved {MAX_QUERIES} queries, which is the limit; take one out of its "
            "collections"
        )
