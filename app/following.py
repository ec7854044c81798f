"""Background tasks that follow the store and the catalog: publications, changes, removals."""

import logging
import time

from anyio import to_thread

from xemplar.archive.store import Store
from xemplar.errors import StorageError
from xemplar.index import current
from xemplar.operations.removals import is_late, queue_purge
from xemplar.retrieval.ingest import delete_pictures
from xemplar.retrieval.retriever import Retriever

from .metrics import Metrics
from .service import Opening

FOLLOW_SECONDS = 0.5
"""Interval of checking which generation is live, which reads one small file."""

FIT_SECONDS = 1.0
PICTURES_SECONDS = 60.0
REMOVALS_SECONDS = 60.0

AGAIN_SECONDS = 60.0
"""Delay before an unusable generation is tried again."""

LOG = logging.getLogger("xemplar")


class Following:
    """Keeps a service up to date with its store and catalog. No request waits for it or fails."""

    def __init__(
        self, opening: Opening, store: Store, metrics: Metrics, purge_hours: float
    ) -> None:
        self._opening = opening
        self._store = store
        self._metrics = metrics
        self._purge_hours = purge_hours
        self._is_late = False
        self._refused = ""
        self._error: Exception | None = None
        self._refused_at = 0.0
        self._is_fitted = True
        self._filters_read = False

    async def follow(self) -> None:
        """Switch to a newly published generation, and apply the catalog's changes.

        Raises:
            Exception: the generation cannot be used; the one before stays live.
        """
        retriever = self._retriever
        if retriever is None:
            return
        await to_thread.run_sync(retriever.update)
        live = await to_thread.run_sync(current, self._store)
        if live == retriever.generation.name:
            return
        waits = time.monotonic() < self._refused_at + AGAIN_SECONDS
        if self._error is not None and live == self._refused and waits:
            raise self._error.with_traceback(None)
        try:
            await to_thread.run_sync(retriever.refresh)
        except StorageError:
            raise  # it may pass at any moment
        except Exception as error:
            self._refused, self._error, self._refused_at = live, error, time.monotonic()
            raise
        self._error, self._is_fitted = None, False
        LOG.warning("generation %s answers from now on", retriever.generation.name)

    async def fit_validator(self) -> None:
        """Fit the input validator to a generation that became live."""
        retriever = self._retriever
        if retriever is not None and not self._is_fitted:
            self._is_fitted = True  # to the generation that is live now; another one may follow
            try:
                await to_thread.run_sync(retriever.fit_validator)
            except BaseException:
                self._is_fitted = False
                raise

    async def read_filters(self) -> None:
        """Read what filters ask of the catalog, once the service has opened without it."""
        retriever = self._retriever
        if retriever is not None and not self._filters_read:
            await to_thread.run_sync(retriever.generation.read_columns, retriever.catalog)
            self._filters_read = True

    async def delete_pictures(self) -> None:
        """Delete stored images of removed cases that could not be deleted immediately."""
        retriever = self._retriever
        if retriever is not None:
            await to_thread.run_sync(delete_pictures, retriever.catalog, retriever.media)

    async def queue_purge(self) -> None:
        """Queue the deletion of removed cases from index files; warn if it is not done in time."""
        retriever = self._retriever
        if retriever is None:
            return
        hours = self._purge_hours
        left = await to_thread.run_sync(queue_purge, self._store, retriever.catalog, hours)
        self._metrics.on_disk_since = left.since
        was_late, self._is_late = self._is_late, is_late(left, hours)
        if self._is_late and not was_late:
            LOG.warning(
                "cases that were removed at %s or later are still in the index files of %s, more "
                "than %g hours after: `xemplar worker` deletes them (`xemplar jobs list` tells "
                "why it did not), or `xemplar generations purge`",
                f"{left.since:%Y-%m-%d %H:%M} UTC",
                ", ".join(left.generations),
                hours,
            )

    @property
    def _retriever(self) -> Retriever | None:
        services = self._opening.services
        return None if services is None else services.retriever
