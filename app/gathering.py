"""Gathers audit entries that nobody waits for, and writes them together."""

import logging
from collections.abc import Hashable
from dataclasses import replace

import anyio
from anyio import to_thread

from xemplar.operations.audit import Audit, AuditEntry

from .metrics import Metrics

READS_SECONDS = 1.0
"""Reads of so long are written together, and lost where the process is killed meanwhile."""

REFUSALS_SECONDS = 60.0
"""Likewise for requests without a good key: anybody may send them, as fast as the network takes."""

MOST_WAITING = 100_000
"""Entries that wait while the database takes none, about 50 MB. Those after them are lost."""

LOG = logging.getLogger("xemplar.audit")


class Gathering:
    """Entries that wait to be written; those that differ in time alone are one, with a count.

    For the event loop alone, not for threads.
    """

    def __init__(self, audit: Audit, metrics: Metrics) -> None:
        self._audit = audit
        self._metrics = metrics
        self._waiting: dict[Hashable, AuditEntry] = {}
        self._one_writes = anyio.Lock()
        self._is_full = False

    def add(self, entry: AuditEntry) -> None:
        """Let an entry wait."""
        kind = (entry.key, entry.role, entry.action, entry.status, entry.subject, entry.results)
        known = self._waiting.get(kind)
        if known is not None:
            self._waiting[kind] = replace(known, count=known.count + entry.count)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting[kind] = entry
        else:
            self._lose(entry)

    async def write(self) -> None:
        """Write what waits. Where that fails it goes on waiting.

        Raises:
            StorageError: the database takes nothing.
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
        """Write what waits for the last time."""
        try:
            with anyio.CancelScope(shield=True):
                await self.write()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the service stops
            LOG.critical("%s entries of the audit trail are lost: %s", len(self._waiting), error)

    def _lose(self, entry: AuditEntry) -> None:
        self._metrics.not_audited(entry.count)
        if not self._is_full:
            LOG.critical(
                "%s entries of the audit trail wait for the database; those that come now are lost",
                MOST_WAITING,
            )
        self._is_full = True
