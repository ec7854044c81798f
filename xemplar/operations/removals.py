"""What is left on disk of removed cases: embeddings and maps in generations that were built before.

No answer shows them. A `PURGE` job deletes them: it builds a generation without them, where the
live one holds some, and deletes all others that do. Which cases were removed stands in the catalog,
so a job that was lost or killed is made up for by the next look.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.index.manifest import IDS
from xemplar.operations.jobs import Jobs

PURGE = "purge"
"""Kind of the job."""

AGAIN = timedelta(hours=1)
"""From a job that failed or was cancelled to the next one."""


@dataclass(frozen=True)
class PurgeBacklog:
    """Generations that hold removed cases.

    Attributes:
        generations: names of their folders; hidden ones are left of a deletion that was cut off.
        since: when the first of these cases was removed, UTC; None where there are none.
    """

    generations: tuple[str, ...] = ()
    since: datetime | None = None


def purge_backlog(store: Store, catalog: Catalog) -> PurgeBacklog:
    """Look for removed cases in all generations of a store.

    A generation whose list of cases cannot be read may hold any of them.
    """
    removed = catalog.removal_times()
    numbers = np.fromiter(sorted(removed), np.int64, len(removed))
    held = {
        path.parent.name: found
        for path in sorted(store.generations.glob(f"*/{IDS}"))
        if len(found := _held(path, numbers))
    }
    since = min((removed[int(n)] for found in held.values() for n in found), default=None)
    return PurgeBacklog(tuple(held), since)


def queue_purge(store: Store, catalog: Catalog, hours: float) -> PurgeBacklog:
    """Queue a `PURGE` job where there is something to delete.

    So one job is for many removals: while one waits or runs, and for some hours after one that was
    done was queued, no other is.

    Args:
        store: whose generations to look at.
        catalog: of that store.
        hours: these. Every removal has a job by then.

    Returns:
        What there is to delete.
    """
    left = purge_backlog(store, catalog)
    if left.since is not None:
        period = timedelta(hours=hours)
        Jobs(catalog.engine).create_unless_recent(PURGE, period, min(period, AGAIN))
    return left


def is_late(left: PurgeBacklog, hours: float) -> bool:
    """Tell whether a removed case has been on the disk for longer than it should be."""
    if left.since is None:
        return False
    return datetime.now(UTC) - left.since > timedelta(hours=hours) + AGAIN


def _held(path: Path, removed: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which removed cases a generation holds, from the ids of its cases, which are ascending."""
    try:
        ids = np.load(path, mmap_mode="r")
        places = np.searchsorted(ids, removed, "right") > np.searchsorted(ids, removed)
    except FileNotFoundError:
        return removed[:0]  # deleted in this moment
    except (OSError, ValueError, TypeError):
        return removed
    held: npt.NDArray[np.int64] = removed[places]
    return held
