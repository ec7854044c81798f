"""Queries that readers saved in collections: who may read them, and for how long they are kept."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, delete, select

from xemplar.archive.store import Store
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import SavedQueryRow
from xemplar.errors import Mismatch
from xemplar.operations.collection import in_readable, name_of_query

LOG = logging.getLogger("xemplar")


class SavedQueries:
    """The saved queries in the catalog's database. Safe to share between threads."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def find(self, query_id: str, key: str | None) -> bytes | None:
        """Return the content of a query in a collection that the key may read; None otherwise.

        Raises:
            StorageError: the database does not answer.
        """
        query = select(SavedQueryRow.sealed).where(SavedQueryRow.id == query_id)
        with reading(self._engine) as connection:
            sealed = connection.scalar(query.where(in_readable(key)))
        if sealed is None:
            return None
        try:
            return self._store.unseal(sealed, name_of_query(query_id))
        except Mismatch as error:
            LOG.warning("saved query %s cannot be read: %s", query_id, error)
            return None

    def has_image(self, image_id: str, key: str | None) -> bool:
        """Return whether a query in a collection that the key may read is of this image."""
        query = select(SavedQueryRow.id).where(SavedQueryRow.image_id == image_id)
        with reading(self._engine) as connection:
            return connection.scalar(query.where(in_readable(key)).limit(1)) is not None

    def among(self, query_ids: Collection[str], key: str | None) -> frozenset[str]:
        """Return those of some queries that are in a collection that the key may read."""
        query = select(SavedQueryRow.id).where(SavedQueryRow.id.in_(query_ids))
        with reading(self._engine) as connection:
            return frozenset(connection.scalars(query.where(in_readable(key))))

    def forget(self, days: float) -> None:
        """Delete queries that were saved more than ``days`` ago."""
        oldest = datetime.now(UTC) - timedelta(days=days)
        with writing(self._engine) as connection:
            old = delete(SavedQueryRow).where(SavedQueryRow.saved_at < oldest)
            connection.execute(old)
