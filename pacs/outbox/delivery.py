"""Delivers results until the archive has them, one batch after another, by one thread."""

import logging
from collections.abc import Callable

from ..metrics import NodeMetrics
from .archive import ArchiveAway, ObjectArchive, ObjectRefused, Store
from .backoff import Backoff
from .outbox import Item, Outbox
from .schedule import Schedule

BATCH = 50
"""Most objects of one association, so that the archive sees an end of it."""

LOG = logging.getLogger("xemplar.pacs.delivery")


class Delivery:
    """Sends what waits in the outbox.

    While the archive is away nothing is counted against an object. One that is refused is tried
    again, later each time, and others pass it.
    """

    def __init__(
        self,
        outbox: Outbox,
        archive: ObjectArchive,
        metrics: NodeMetrics,
        *,
        tries: int,
        ceiling: float,
        backoff: Callable[[float], Backoff] = Backoff,
    ) -> None:
        """Prepare to deliver.

        Args:
            outbox: holds the results.
            archive: gets them.
            metrics: count what happens.
            tries: refusals after which an object is held.
            ceiling: longest wait between attempts, in seconds.
            backoff: makes the waits.
        """
        self._outbox = outbox
        self._archive = archive
        self._metrics = metrics
        self._tries = tries
        self._away = backoff(ceiling)
        self._schedule = Schedule(ceiling, backoff)
        self._is_away = False

    def deliver(self) -> int:
        """Send what is due; return how many objects the archive took."""
        due = self._schedule.due(self._outbox.waiting("send", limit=1000))[:BATCH]
        if self._schedule.was_told_to_retry:
            self._away.reset()
        if not due or self._away.seconds:
            return 0
        try:
            with self._archive.connected(frozenset(one.sop_class for one in due)) as store:
                return sum(self._send(store, one) for one in due)
        except ArchiveAway as reason:
            self._metrics.failed("away")
            self._away.failed()
            if not self._is_away:
                LOG.warning("%s; results wait, and are sent again", reason)
            self._is_away = True
            self._outbox.postpone(due[0], str(reason))
            return 0

    def _send(self, store: Store, item: Item) -> bool:
        """Send one object; return True if the archive has it."""
        path = self._outbox.path(item)
        try:
            if not path.is_file():
                raise ObjectRefused("its file is gone")
            store(item, path)
        except ObjectRefused as reason:
            self._metrics.failed("refused")
            self._schedule.failed(item)
            if self._outbox.fail(item, str(reason), most=self._tries):
                LOG.warning(
                    "item %s (%s) is held: %s; see `xemplar dicom outbox list`",
                    item.id,
                    item.kind,
                    reason,
                )
            return False
        except ArchiveAway:
            self._schedule.failed(item)  # others first: perhaps it is this one that it dies of
            raise
        self._outbox.finish(item, "delivered")
        self._schedule.done(item)
        self._metrics.delivered(item.kind)
        self._away.reset()
        if self._is_away:
            LOG.info("the archive takes results again")
        self._is_away = False
        return True
