"""Follows store and catalog: what is published, what comes and goes, what was left to do."""

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
"""Between two looks at which generation is live: one small file is read."""

LEARN_SECONDS = 1.0
PICTURES_SECONDS = 60.0
REMOVALS_SECONDS = 60.0

AGAIN_SECONDS = 60.0
"""After which a generation that could not be used is opened again: that reads all its files."""

LOG = logging.getLogger("xemplar")


class Following:
    """Work of a service beside answering. No request waits for it or fails."""

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
        self._has_learnt = True

    async def take_over(self) -> None:
        """Take over each generation that is published, and each case that comes or goes.

        Raises:
            Exception: the generation cannot be used; the one before goes on answering.
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
        self._error, self._has_learnt = None, False
        LOG.warning("generation %s answers from now on", retriever.generation.name)

    async def learn(self) -> None:
        """Let the input validator learn from a generation that answers already."""
        retriever = self._retriever
        if retriever is not None and not self._has_learnt:
            self._has_learnt = True  # of the one that answers now; another one may come meanwhile
            try:
                await to_thread.run_sync(retriever.learn)
            except BaseException:
                self._has_learnt = False
                raise

    async def delete_pictures(self) -> None:
        """Delete the pictures of removed cases that could not be deleted at once."""
        retriever = self._retriever
        if retriever is not None:
            await to_thread.run_sync(delete_pictures, retriever.catalog, retriever.media)

    async def queue_purge(self) -> None:
        """Let a worker delete what index files hold of removed cases; tell where none does."""
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
        service = self._opening.service
        return None if service is None else service.retriever
