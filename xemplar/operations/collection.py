"""`Collection`: a reader's collection of cases and queries, and who may read it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select

from xemplar.catalog.tables import CollectionEntryRow, CollectionRow, SavedQueryRow


@dataclass(frozen=True)
class Collection:
    """A collection, without its content.

    Attributes:
        id: random, 16 hex digits.
        key: id of the API key that owns it; None on a service without keys.
        shared: whether all keys may read it.
        changed_at: UTC.
        name: None if it was sealed with another key.
        note: of the reader, empty for none.
        entries: number of cases and queries in it.
    """

    id: str
    key: str | None
    shared: bool
    changed_at: datetime
    name: str | None
    note: str
    entries: int


@dataclass(frozen=True)
class CollectionEntry:
    """A case or a query in a collection.

    Attributes:
        subject: case id or query id.
        case: number of the case in the catalog; None for a query.
        added_at: UTC.
        kept_until: when the query is deleted, UTC; None for a case.
        note: of the reader, empty for none.
        search: conditions under which it was looked at, as a query string.
    """

    subject: str
    case: int | None
    added_at: datetime
    kept_until: datetime | None
    note: str
    search: str


@dataclass(frozen=True, eq=False)
class SavedQuery:
    """A query to be saved.

    Attributes:
        id: query id.
        image_id: of its image, like a case id.
        content: what explains it, with its image (`xemplar.retrieval.remembering.pack`).
    """

    id: str
    image_id: str
    content: bytes


def owned(key: str | None) -> ColumnElement[bool]:
    """Condition on `CollectionRow`: the key owns it; None owns those made without keys."""
    return CollectionRow.key.is_(None) if key is None else CollectionRow.key == key


def readable(key: str | None) -> ColumnElement[bool]:
    """Condition on `CollectionRow`: the key may read it."""
    return or_(CollectionRow.shared, owned(key))


def in_readable(key: str | None) -> ColumnElement[bool]:
    """Condition on `SavedQueryRow`: it is in a collection that the key may read."""
    entry = CollectionEntryRow
    within = select(entry.query).join(CollectionRow, CollectionRow.id == entry.collection)
    return within.where(entry.query == SavedQueryRow.id, readable(key)).exists()


def name_of_query(query_id: str) -> str:
    """Name that a saved query is sealed for."""
    return f"saved query {query_id}"
