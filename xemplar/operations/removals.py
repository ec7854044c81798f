"""Data of removed cases that remains on disk, in generations built before the removal.

No answer contains it. A `PURGE` job deletes it: the job builds a generation without the removed
cases if the live one contains some, and deletes all other generations that do. The catalog records
the removals, so the next check compensates for a lost or killed job.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.index import held
from xemplar.operations.jobs import Jobs

PURGE = "purge"
"""Kind of the purge job."""

AGAIN = timedelta(hours=1)
"""Delay before the next job after one that failed or was cancelled."""


@dataclass(frozen=True)
class PurgeBacklog:
    """Generations that still contain removed cases.

    Attributes:
        generations: names of their folders; hidden ones remain from an interrupted deletion.
        since: time of the first removal concerned, UTC; None if there is none.
    """

    generations: tuple[str, ...] = ()
    since: datetime | None = None


def purge_backlog(store: Store, catalog: Catalog) -> PurgeBacklog:
    """Find removed cases in all generations of a store.

    A generation whose ids cannot be read counts as containing all removed cases.
    """
    removed = catalog.removal_times()
    numbers = np.fromiter(sorted(removed), np.int64, len(removed))
    holding = {name: some for name, some in held(store, catalog, numbers).items() if len(some)}
    since = min((removed[int(n)] for some in holding.values() for n in some), default=None)
    return PurgeBacklog(tuple(holding), since)


def queue_purge(store: Store, catalog: Catalog, hours: float) -> PurgeBacklog:
    """Queue a `PURGE` job if there is something to delete.

    One job serves many removals: no other is queued while one is queued or running, nor for
    ``hours`` after a completed one was queued.

    Args:
        store: whose generations to check.
        catalog: of that store.
        hours: period between completed jobs; every removal is purged by then.

    Returns:
        The data to delete.
    """
    backlog = purge_backlog(store, catalog)
    if backlog.since is not None:
        period = timedelta(hours=hours)
        Jobs(catalog.engine).create_unless_recent(PURGE, period, min(period, AGAIN))
    return backlog


def is_late(backlog: PurgeBacklog, hours: float) -> bool:
    """Return whether a removed case has been on disk for longer than allowed."""
    if backlog.since is None:
        return False
    return datetime.now(UTC) - backlog.since > timedelta(hours=hours) + AGAIN
