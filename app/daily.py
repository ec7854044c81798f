"""Number of distinct cases shown to each API key per day, with an alarm and a limit."""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus

from anyio import to_thread
from prometheus_client import Gauge

from xemplar.operations.audit import Audit

from .problems import Refusal

SHOW_NO_CASE = frozenset(
    (
        "me",
        "findings",
        "queries",
        "collections",
        "put_ratings",
        "put_reading",
        "reader_studies",
        "jobs",
        "job",
        "index_generations",
        "keys",
        "raters",
        "errors",
    )
) | {"metrics"}
"""Operations that show no case: neither audited nor limited."""

CATCH_UP_SECONDS = 60.0

LATE = timedelta(minutes=2)
"""Longest delay between an entry's time and its writing; each search reaches back this far."""

LOG = logging.getLogger("xemplar.audit")


class DailyCases:
    """Distinct cases of each key since midnight, UTC. Used from the event loop only.

    Without keys nothing is counted, as there is no caller to attribute it to.
    """

    def __init__(
        self,
        alarm: int,
        ceiling: int,
        keys_over: Gauge,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Start with none.

        Args:
            alarm: number of cases above which a key is logged, once a day; 0: never.
            ceiling: number of cases at which a key is refused; 0: no limit.
            keys_over: gauge for the number of keys above the alarm.
            clock: returns the current time, UTC.
        """
        self._alarm = alarm
        self._ceiling = ceiling
        self._clock = clock
        self._day = self.midnight
        self._seen_until: datetime | None = None
        self._shown: defaultdict[str, set[str]] = defaultdict(set)
        self._told: set[str] = set()
        self._stopped: set[str] = set()
        keys_over.set_function(lambda: len(self._told) if self.midnight == self._day else 0)

    @property
    def midnight(self) -> datetime:
        """Start of the day, UTC."""
        return datetime.combine(self._clock().date(), time(), UTC)

    def note(self, key: str | None, cases: Collection[str]) -> None:
        """Count cases shown to a key; log if they exceed the alarm."""
        if key is not None and cases and self._counts:
            self._add(key, cases, tell=True)

    async def catch_up(self, audit: Audit) -> None:
        """Count today's entries of the trail: from before a restart, and of other services."""
        midnight, now = self.midnight, self._clock()
        if not self._counts:
            return
        since = midnight if self._seen_until is None else self._seen_until - LATE
        shown = await to_thread.run_sync(audit.shown, max(midnight, since))
        if midnight == self.midnight:
            for key, cases in shown.items():
                # a key above the alarm at the start was logged before the restart
                self._add(key, cases, tell=self._seen_until is not None)
        self._seen_until = now

    def check(self, key: str) -> None:
        """Refuse a key that has reached the limit.

        Raises:
            Refusal: 429, until midnight.
        """
        self._begin_day()
        if not self._ceiling or len(self._shown.get(key, ())) < self._ceiling:
            return
        if key not in self._stopped:
            self._stopped.add(key)
            LOG.warning("key %s has reached XEMPLAR_CASES_PER_DAY (%s)", key, self._ceiling)
        left = self.midnight + timedelta(days=1) - self._clock()
        raise Refusal(
            "TooManyCases",
            HTTPStatus.TOO_MANY_REQUESTS,
            f"this key was shown {self._ceiling:,} cases today, which is its limit "
            "(XEMPLAR_CASES_PER_DAY); try again after midnight UTC, or ask the operator of the "
            "service",
            retry_after=str(max(1, math.ceil(left.total_seconds()))),
        )

    @property
    def _counts(self) -> bool:
        return bool(self._alarm or self._ceiling)

    def _add(self, key: str, cases: Collection[str], *, tell: bool) -> None:
        self._begin_day()
        shown = self._shown[key]
        shown.update(cases)
        if not self._alarm or len(shown) <= self._alarm or key in self._told:
            return
        self._told.add(key)
        if tell:
            LOG.warning(
                "key %s was shown %s cases today, more than XEMPLAR_CASES_PER_DAY_ALARM (%s); GET "
                "/audit lists them, and `xemplar keys revoke` stops the key",
                key,
                len(shown),
                self._alarm,
            )

    def _begin_day(self) -> None:
        if (day := self.midnight) != self._day:
            self._day = day
            self._shown.clear()
            self._told.clear()
            self._stopped.clear()
