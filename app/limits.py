"""Limits that refuse before work is done: too many requests, one film too many."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import Gauge

from .problems import Refusal, come_back

MAX_CALLERS = 10_000
"""Callers whose requests are counted; the one that has not come for longest is forgotten."""


class Rate:
    """So many requests a second from each caller, after so many at once: a token bucket each."""

    def __init__(
        self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``per_second`` 0: no limit."""
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            Refusal: 429, with the seconds after which there is room for one.
        """
        if not self._per_second:
            return
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._at_once), now))
        tokens = min(self._at_once, tokens + (now - since) * self._per_second)
        enough = tokens >= 1
        self._buckets[caller] = (tokens - enough, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if not enough:
            seconds = max(1, math.ceil((1 - tokens) / self._per_second))
            raise Refusal(
                "TooManyRequests",
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {self._per_second:g} requests a second, and {self._at_once} at once, "
                f"is the limit; come back in {seconds} s",
                retry_after=str(seconds),
            )


class Places:
    """So many films are worked on at once, and the others are told to come back.

    A film and all that is made of it is held in memory until its query is answered. A queue that
    grows without end would end in a process that is killed, with all its queries. A film takes its
    place once it has arrived, so that nobody keeps others out by sending slowly (see `BodyLimit`).
    """

    def __init__(self, at_once: int, gauge: Gauge) -> None:
        self._at_once = at_once
        self._inside = 0
        self._gauge = gauge

    @contextmanager
    def holding(self, films: int = 1) -> Iterator[None]:
        """Count films while they are worked on.

        Where nothing else is worked on, a batch may be larger than the limit: it could never be
        answered otherwise.

        Raises:
            Refusal: 503, with the films of other requests they are too many.
        """
        if self._inside and self._inside + films > self._at_once:
            raise come_back(
                "Busy",
                f"{self._inside} other films are being worked on and this request brings {films}; "
                f"{self._at_once} at once is the limit",
            )
        self._count(films)
        try:
            yield
        finally:
            self._count(-films)

    def _count(self, films: int) -> None:
        self._inside += films
        self._gauge.set(self._inside)
