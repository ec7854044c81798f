"""Remembered queries in the catalog's database, so that any service of it can explain them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Engine, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.catalog.rows import parts
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import RememberedQueryRow as Row


@dataclass(frozen=True)
class QuerySummary:
    """A query, without what explains it.

    Attributes:
        id: query id.
        image_id: of its image, like a case id.
        shared: whether all keys may see it.
        at: when it was asked, UTC.
    """

    id: str
    image_id: str
    shared: bool
    at: datetime


@dataclass(frozen=True, eq=False)
class RememberedQuery:
    """A query and who may see it.

    Attributes:
        id: query id.
        image_id: of its image, like a case id.
        key: id of the API key that asked; None on a service without keys.
        shared: whether all keys may see it.
        at: when it was asked, UTC.
        content: what explains it, as `xemplar.retrieval.remembering` packs it.
    """

    id: str
    image_id: str
    key: str | None
    shared: bool
    at: datetime
    content: bytes

    def is_for(self, key: str | None) -> bool:
        """Return whether a caller with this key may see it."""
        return self.shared or self.key == key


class Queries:
    """The remembered queries of all services of a database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def are_shared(self) -> bool:
        """True if services on other machines may use the database."""
        return self._engine.dialect.name == "postgresql"

    def put(self, queries: Sequence[RememberedQuery]) -> None:
        """Add queries; one that is there already stays as it is.

        Raises:
            StorageError: none was added.
        """
        if queries:
            dialect = postgresql if self.are_shared else sqlite
            statement = dialect.insert(Row).on_conflict_do_nothing()
            with writing(self._engine) as connection:
                connection.execute(statement, [asdict(one) for one in queries])

    def find(self, query_id: str, key: str | None) -> RememberedQuery | None:
        """Find a query that a caller with this key may see; None if there is none.

        Raises:
            StorageError: the database does not answer, or is a standby, which has no queries.
        """
        query = select(*Row.__table__.columns).where(Row.id == query_id, _is_for(key))
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else RememberedQuery(**row._mapping)

    def share(self, query_id: str, key: str | None) -> bool:
        """Let all keys see a query; return False if the caller may see none of that id.

        Raises:
            StorageError: it was not shared.
        """
        mine = (Row.id == query_id) & _is_for(key)
        with writing(self._engine) as connection:
            return connection.execute(update(Row).where(mine).values(shared=True)).rowcount > 0

    def list(self, key: str | None, limit: int) -> Sequence[QuerySummary]:
        """Return the newest queries of a key, without what explains them.

        Raises:
            StorageError: as `find`.
        """
        query = select(Row.id, Row.image_id, Row.shared, Row.at).where(_owned(key))
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(Row.at.desc(), Row.id).limit(limit))
            return [QuerySummary(*row) for row in found]

    def remove(self, query_id: str, key: str | None) -> bool:
        """Delete a query of a key; return False if it has none of that id.

        Raises:
            StorageError: it was not deleted.
        """
        mine = delete(Row).where(Row.id == query_id, _owned(key))
        with writing(self._engine) as connection:
            return connection.execute(mine).rowcount > 0

    def has_image(self, image_id: str, key: str | None) -> bool:
        """Return whether the caller may see a query of this image.

        Raises:
            StorageError: as `find`.
        """
        query = select(Row.id).where(Row.image_id == image_id, _is_for(key)).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def forget(self, hours: float, capacity: int) -> int:
        """Delete queries older than ``hours``, and those beyond ``capacity`` (see `surplus`).

        Another service of the database may do so at the same time.

        Returns:
            The number of such queries.

        Raises:
            StorageError: none was deleted.
        """
        oldest = datetime.now(UTC) - timedelta(hours=hours)
        with reading(self._engine) as connection:
            rows = connection.execute(select(Row.id, Row.key, Row.at).order_by(Row.at)).all()
        old = [row.id for row in rows if row.at < oldest]
        new = [(row.id, row.key) for row in rows if row.at >= oldest]
        gone = [*old, *surplus(new, capacity)]
        if gone:
            with writing(self._engine) as connection:
                for some in parts(gone):
                    free = select(Row.id).where(Row.id.in_(some)).with_for_update(skip_locked=True)
                    connection.execute(delete(Row).where(Row.id.in_(free)))
        return len(gone)


def surplus(queries: Iterable[tuple[str, str | None]], capacity: int) -> list[str]:
    """Choose the queries to forget so that ``capacity`` remain.

    Each in turn is the oldest of the key that holds the most, so that a key's queries never
    displace those of a key that holds fewer.

    Args:
        queries: (query id, key that asked), the oldest first.
        capacity: number to keep.
    """
    left = dict(queries)
    held, gone = Counter(left.values()), list[str]()
    while len(left) > capacity:
        most = max(held.values())
        oldest = next(one for one, key in left.items() if held[key] == most)
        held[left.pop(oldest)] -= 1
        gone.append(oldest)
    return gone


def _is_for(key: str | None) -> ColumnElement[bool]:
    return or_(Row.shared, _owned(key))


def _owned(key: str | None) -> ColumnElement[bool]:
    return Row.key.is_(None) if key is None else Row.key == key
