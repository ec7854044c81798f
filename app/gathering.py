"""Batches audit entries that no request waits for, and writes them together."""

import logging
from collections.abc import Hashable
from dataclasses import replace

import anyio
from anyio import to_thread

from xemplar.operations.audit import Audit, AuditEntry

from .metrics import Metrics

READS_SECONDS = 1.0
"""Interval at which reads are written together; those not yet written are lost in a kill."""

REFUSALS_SECONDS = 60.0
"""Interval for requests without a valid key, which anyone can send at any rate."""

MOST_WAITING = 100_000
"""Entries kept while the database accepts none, about 50 MB. Further ones are lost."""

LOG = logging.getLogger("xemplar.audit")


class Gathering:
    """Entries that wait to be written; those that differ only in time are merged and counted.

    Used from the event loop only.
    """

    def __init__(self, audit: Audit, metrics: Metrics) -> None:
        self._audit = audit
        self._metrics = metrics
        self._waiting: dict[Hashable, AuditEntry] = {}
        self._one_writes = anyio.Lock()
        self._is_full = False

    def add(self, entry: AuditEntry) -> None:
        """Add an entry to the batch."""
        kind = (entry.key, entry.role, entry.action, entry.status, entry.subject, entry.results)
        known = self._waiting.get(kind)
        if known is not None:
            self._waiting[kind] = replace(known, count=known.count + entry.count)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting[kind] = entry
        else:
            self._lose(entry)

    async def write(self) -> None:
        """Write the waiting entries. If that fails, they are kept.

        Raises:
            StorageError: the database cannot be written.
        """
        async with self._one_writes:
            if not self._waiting:
                return
            entries = [*self._waiting.values()]
            self._waiting = {}
            try:
                await to_thread.run_sync(self._audit.add, entries)
            except BaseException:
                meanwhile, self._waiting = self._waiting, {}
                for entry in (*entries, *meanwhile.values()):
                    self.add(entry)
                raise
            self._is_full = False

    async def close(self) -> None:
        """Write the waiting entries a last time."""
        try:
            with anyio.CancelScope(shield=True):
                await self.write()
        except Exception as error:  # noqa: BLE001 -- the service stops in any case
            LOG.critical("%s entries of the audit trail are lost: %s", len(self._waiting), error)

    def _lose(self, entry: AuditEntry) -> None:
        self._metrics.not_audited(entry.count)
        if not self._is_full:
            LOG.critical(
                "%s entries of the audit trail wait for the database; further ones are lost",
                MOST_WAITING,
            )
        self._is_full = True
