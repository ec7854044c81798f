"""Remembered queries: the latest in memory, and all in the catalog's database."""

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock

import anyio
from anyio import to_thread

from xemplar.archive.store import Store
from xemplar.errors import CorruptArtefact, Mismatch, NotFound, StorageError
from xemplar.operations.queries import Queries, QuerySummary, RememberedQuery
from xemplar.operations.saved_queries import SavedQueries
from xemplar.retrieval.remembering import pack, unpack
from xemplar.retrieval.result import Answer, ExplainedQuery, Pixels
from xemplar.retrieval.retriever import Retriever

from .recent import RecentQueries

MAINTAIN_SECONDS = 1.0
"""Interval at which queries are written to SQLite; those not yet written are lost in a kill."""

FORGETS_SECONDS = 60.0
"""Interval at which old queries are looked for while no new ones come."""

LOG = logging.getLogger("xemplar")


@dataclass(frozen=True)
class RecalledQuery:
    """A query of the caller's history.

    Attributes:
        query: without what explains it.
        until: when it is forgotten at the latest, UTC; None where it is in memory alone.
        has_pixels: whether its image is remembered, too.
    """

    query: QuerySummary
    until: datetime | None
    has_pixels: bool


class RememberedQueries:
    """Queries that may still be explained or repeated, by any service of the database.

    With PostgreSQL a query is in the database before its answer is sent, as another service may be
    asked about it next; its content is sealed with the store's key. With SQLite there is no other
    service: queries are written together after their answers, without pixels, which stay in memory
    alone. Pixels of an archived image are read from the store.

    Called from threads, except `newest` and `recall`.
    """

    def __init__(
        self, queries: Queries, saved: SavedQueries, store: Store, hours: float, capacity: int
    ) -> None:
        """Start with what the database holds.

        Args:
            queries: those in the database.
            saved: those in readers' collections, which have their image.
            store: whose key seals them.
            hours: for which they are remembered; 0 for in memory alone.
            capacity: number remembered, in memory and in the database.
        """
        self._recent = RecentQueries(capacity)
        self._queries = queries if hours else None
        self._saved = saved
        self._store = store
        self._hours = hours
        self._capacity = capacity
        self._waiting: dict[str, tuple[Answer, str | None, datetime]] = {}
        self._changing = Lock()
        self._one_writes = Lock()
        self._failed = False
        self._grew = False
        self._forget_at = 0.0

    def keep(self, answer: Answer, key: str | None) -> None:
        """Remember an answer as a key's; the first one if a query is repeated.

        Where the database takes none, the answer is right all the same: it stays in memory, and
        the background task tries again, and reports.
        """
        is_new = self._recent.keep(answer, key)
        if not is_new or self._queries is None:
            return
        with self._changing:
            self._waiting[answer.query_id] = answer, key, datetime.now(UTC)
            while len(self._waiting) > self._capacity:
                del self._waiting[next(iter(self._waiting))]
        if self._queries.are_shared and not self._failed:
            with suppress(StorageError, CorruptArtefact):
                self.write()

    def recall(self, query_id: str, key: str | None) -> ExplainedQuery | None:
        """Return a query that is in memory and may be seen with this key; None otherwise."""
        return self._recent.recall(query_id, key)

    def find(self, query_id: str, key: str | None, retriever: Retriever) -> ExplainedQuery:
        """Find a query, in memory, in a collection or in the database.

        Args:
            query_id: of the query.
            key: id of the caller's API key.
            retriever: bound to the caller's access; reads pixels of archived images.

        Raises:
            NotFound: there is none, it was forgotten, or it is another key's and not shared.
            StorageError: it is not in memory, and the database does not answer.
        """
        known = self._recent.recall(query_id, key)
        if known is not None:
            return known
        saved = self._saved.find(query_id, key)  # has the image, unlike SQLite's
        if saved is not None:
            return unpack(saved, retriever.checkpoint)
        row = None if self._queries is None else self._queries.find(query_id, key)
        if row is None:
            raise self._unknown(query_id)
        found = self._opened(row, retriever)
        self._recent.keep(found, row.key, shared=row.shared, at=row.at)
        return found

    def share(self, query_id: str, key: str | None) -> None:
        """Make a query visible to all keys.

        Raises:
            NotFound: as `find`.
            StorageError: the database does not accept it; the query is not shared.
        """
        shared = False
        if self._queries is not None:
            self.write()  # the query must be there
            shared = self._queries.share(query_id, key)
        if not self._recent.share(query_id, key) and not shared:
            raise self._unknown(query_id)

    def has_image(self, image_id: str, key: str | None) -> bool:
        """Return whether a query that a key may see is of the image.

        Raises:
            StorageError: none in memory is, and the database does not answer.
        """
        if self._recent.has_image(image_id, key):
            return True
        if self._saved.has_image(image_id, key):
            return True
        return self._queries is not None and self._queries.has_image(image_id, key)

    def history(self, key: str | None, limit: int) -> Sequence[RecalledQuery]:
        """Return the newest queries of a key.

        Raises:
            StorageError: the database does not answer.
        """
        found = {one.id: one for one in self._recent.list(key)}
        if self._queries is not None:
            found = {one.id: one for one in self._queries.list(key, limit)} | found
        newest = sorted(found.values(), key=lambda one: one.at, reverse=True)[:limit]
        kept = None if self._queries is None else timedelta(hours=self._hours)
        with_pixels = self._with_pixels([one.id for one in newest], key)
        return [
            RecalledQuery(one, None if kept is None else one.at + kept, one.id in with_pixels)
            for one in newest
        ]

    def _with_pixels(self, query_ids: Collection[str], key: str | None) -> frozenset[str]:
        """Return those queries that have their image; one of an archived image need not."""
        if self._seals:
            return frozenset(query_ids)
        known = {name: self._recent.recall(name, key) for name in query_ids}
        in_memory = {
            name for name, one in known.items() if one is not None and one.pixels is not None
        }
        return self._saved.among(known.keys() - in_memory, key) | in_memory

    def forget(self, query_id: str, key: str | None) -> None:
        """Forget a query of a key, which stays in the collections that it is in.

        Other services of the database may have it in memory until it is displaced there.

        Raises:
            NotFound: the key has none of that id.
            StorageError: the database does not accept it.
        """
        with self._one_writes:  # none is written meanwhile
            with self._changing:
                self._waiting.pop(query_id, None)
            gone = self._queries is not None and self._queries.remove(query_id, key)
            if not self._recent.remove(query_id, key) and not gone:
                raise self._unknown(query_id)

    def newest(self, key: str | None) -> ExplainedQuery | None:
        """Return the query of a key that was used last in this service, if any."""
        return self._recent.newest(key)

    async def close(self) -> None:
        """Write the queries that wait for it a last time."""
        try:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self.write)
        except Exception as error:  # noqa: BLE001 -- the service stops in any case
            LOG.warning("%s queries are forgotten: %s", len(self._waiting), error)

    def write(self) -> None:
        """Write the queries that wait for it; kept if that fails.

        Raises:
            StorageError: the database or the store's key cannot be written.
            CorruptArtefact: the store's key is damaged.
        """
        if self._queries is None:
            return
        with self._one_writes:
            with self._changing:
                waiting = dict(self._waiting)
            try:
                self._queries.put([self._row(*one) for one in waiting.values()])
            except BaseException:
                self._failed = True
                raise
            self._failed = False
            self._grew |= bool(waiting)
            with self._changing:
                for query_id in waiting:
                    self._waiting.pop(query_id, None)

    def maintain(self) -> None:
        """Write the queries that wait, and forget what is too old or too much.

        Raises:
            StorageError: the database cannot be changed.
            CorruptArtefact: the store's key is damaged.
        """
        self.write()
        now = time.monotonic()
        if self._queries is not None and (self._grew or now >= self._forget_at):
            self._grew, self._forget_at = False, now + FORGETS_SECONDS
            self._recent.forget(self._hours)
            self._queries.forget(self._hours, self._capacity)

    def _row(self, answer: Answer, key: str | None, at: datetime) -> RememberedQuery:
        is_case = answer.archived_as == answer.image_id  # whose pixels the store has
        content = pack(answer, with_pixels=self._seals and not is_case)
        if self._seals:
            content = self._store.seal(content, answer.query_id)
        return RememberedQuery(answer.query_id, answer.image_id, key, False, at, content)

    def _opened(self, row: RememberedQuery, retriever: Retriever) -> ExplainedQuery:
        content = row.content
        if self._seals:
            try:
                content = self._store.unseal(content, row.id)
            except Mismatch as error:
                LOG.warning("query %s cannot be read: %s", row.id, error)
                raise self._unknown(row.id) from error
        query = unpack(content, retriever.checkpoint)
        return (
            query if query.pixels is not None else replace(query, pixels=_pixels(query, retriever))
        )

    @property
    def _seals(self) -> bool:
        return self._queries is not None and self._queries.are_shared

    def _unknown(self, query_id: str) -> NotFound:
        most = f"the last {self._capacity} are kept"
        until = f", for {self._hours:g} hours" if self._queries is not None else " in memory"
        return NotFound(
            f"query {query_id[:32]!r} is unknown or forgotten ({most}{until}), or another "
            "reader's who has not shared it; send the image again"
        )


def _pixels(query: ExplainedQuery, retriever: Retriever) -> Pixels | None:
    """Read the pixels of a query's image from the store, if the image is a case."""
    media, spec = retriever.media, retriever.checkpoint.card.spec
    try:
        sha256 = retriever.catalog.case(query.image_id).image_sha256
        return Pixels(media.display(sha256), media.input(sha256, spec))
    except (NotFound, CorruptArtefact):
        return None
