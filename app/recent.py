"""The latest queries and errors, kept in memory until the service stops.

Queries are kept to render their images on demand. They are dropped when newer ones need the room.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from xemplar.api import ErrorOut
from xemplar.operations.queries import QuerySummary, surplus
from xemplar.retrieval.result import ExplainedQuery

MAX_ERRORS = 200

MAX_DEEP = 32
"""Queries whose own values are kept, up to 2 MB each: the newest ones, as readers window what they
have just sent. Those before keep their display copy."""


@dataclass
class _Recent:
    """A query, the key that sent it (None on a service without keys), and the time."""

    query: ExplainedQuery
    key: str | None
    shared: bool
    at: datetime

    def is_for(self, key: str | None) -> bool:
        return self.shared or self.key == key


class RecentQueries:
    """The latest queries, up to ``capacity``, by query id. Safe to share between threads.

    Each belongs to the API key that sent it, and is hidden from others unless shared.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queries: OrderedDict[str, _Recent] = OrderedDict()
        self._lock = Lock()

    def keep(
        self,
        query: ExplainedQuery,
        key: str | None = None,
        *,
        shared: bool = False,
        at: datetime | None = None,
    ) -> bool:
        """Keep a query; if there is no room, drop one of the key that holds the most.

        The least recently used one of that key is dropped (`surplus`). When a query is repeated
        with other options its first answer is kept, as browsers cache the images of that one.

        Args:
            query: to keep.
            key: id of the API key that sent it.
            shared: whether all keys may see it.
            at: when it was sent, UTC; None for now.

        Returns:
            True if the query was not there.
        """
        with self._lock:
            new = _Recent(query, key, shared, at or datetime.now(UTC))
            one = self._queries.setdefault(query.query_id, new)
            one.shared |= shared
            self._queries.move_to_end(query.query_id)
            if one is new and query.deep is not None:
                self._forget_deep()
            if len(self._queries) > self._capacity:
                held = [(query_id, other.key) for query_id, other in self._queries.items()]
                for query_id in surplus(held, self._capacity):
                    del self._queries[query_id]
            return one is new

    def newest(self, key: str | None = None) -> ExplainedQuery | None:
        """Return the most recently used query of a key, if any."""
        with self._lock:
            mine = (one.query for one in reversed(self._queries.values()) if one.key == key)
            return next(mine, None)

    def recall(self, query_id: str, key: str | None = None) -> ExplainedQuery | None:
        """Return a query; None if there is none that the key may see."""
        with self._lock:
            one = self._found(query_id, key)
            return None if one is None else one.query

    def share(self, query_id: str, key: str | None = None) -> bool:
        """Make a query visible to all keys; return False if there is none that the key may see."""
        with self._lock:
            one = self._found(query_id, key)
            if one is not None:
                one.shared = True
            return one is not None

    def list(self, key: str | None) -> Sequence[QuerySummary]:
        """Return the queries of a key."""
        with self._lock:
            return [
                QuerySummary(query_id, one.query.image_id, one.shared, one.at)
                for query_id, one in self._queries.items()
                if one.key == key
            ]

    def remove(self, query_id: str, key: str | None) -> bool:
        """Drop a query of a key; return False if it has none of that id."""
        with self._lock:
            one = self._queries.get(query_id)
            if one is None or one.key != key:
                return False
            del self._queries[query_id]
            return True

    def has_image(self, image_id: str, key: str | None = None) -> bool:
        """Return True if a query that a key can find belongs to the image."""
        with self._lock:
            mine = (one.query for one in self._queries.values() if one.is_for(key))
            return any(query.image_id == image_id for query in mine)

    def forget(self, hours: float) -> None:
        """Drop the queries that were sent more than ``hours`` ago."""
        oldest = datetime.now(UTC) - timedelta(hours=hours)
        with self._lock:
            for query_id in [name for name, one in self._queries.items() if one.at < oldest]:
                del self._queries[query_id]

    def _forget_deep(self) -> None:
        """Drop the values of all but the `MAX_DEEP` newest queries that have some."""
        deep = [one for one in self._queries.values() if one.query.deep is not None]
        deep.sort(key=lambda one: one.at)
        for one in deep[:-MAX_DEEP]:
            one.query = one.query.without_deep()

    def _found(self, query_id: str, key: str | None) -> _Recent | None:
        one = self._queries.get(query_id)
        if one is None or not one.is_for(key):
            return None
        self._queries.move_to_end(query_id)
        return one


class RecentErrors:
    """The last `MAX_ERRORS` failed requests and rejected images; the log has all of them.

    Use it from the event loop only; it is not thread-safe.
    """

    def __init__(self) -> None:
        self._errors: deque[ErrorOut] = deque(maxlen=MAX_ERRORS)

    def keep(self, error: ErrorOut) -> None:
        """Keep an error; the oldest is dropped if there is no room."""
        self._errors.appendleft(error)

    def newest(self) -> list[ErrorOut]:
        """Return the errors in memory, the newest first."""
        return list(self._errors)
