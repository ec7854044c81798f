"""Limits that refuse before work is done: too many requests, one image too many."""

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
    """Limits images that are worked on at once; refuses the rest with 503.

    An image and all that is made of it is held in memory until its query is answered. A queue that
    grows without end would end in a process that is killed, with all its queries. An image takes
    its place once it has arrived, so that nobody keeps others out by sending slowly (see
    `BodyLimit`). A batch takes none of these places but one of its own, so that batches never keep
    out an image.
    """

    def __init__(self, images: int, batches: int, gauge: Gauge) -> None:
        """Limits, and the gauge that tells how many images are inside."""
        self._most_images, self._most_batches = images, batches
        self._images = 0
        self._batches: list[int] = []
        self._gauge = gauge

    @contextmanager
    def image(self) -> Iterator[None]:
        """Count an image while it is worked on.

        Raises:
            Refusal: 503, as there are too many.
        """
        if self._images >= self._most_images:
            raise come_back(
                "Busy",
                f"{self._images} other images are being worked on, and {self._most_images} at once "
                "is the limit",
            )
        self._images += 1
        self._tell()
        try:
            yield
        finally:
            self._images -= 1
            self._tell()

    @contextmanager
    def batch(self, images: int) -> Iterator[None]:
        """Count a batch of so many images while it is worked on.

        Raises:
            Refusal: 503, as there are too many batches.
        """
        if len(self._batches) >= self._most_batches:
            raise come_back(
                "Busy",
                f"{len(self._batches)} other batches are being worked on, with "
                f"{sum(self._batches)} images, and {self._most_batches} at once is the limit",
            )
        self._batches.append(images)
        self._tell()
        try:
            yield
        finally:
            self._batches.remove(images)
            self._tell()

    def _tell(self) -> None:
        self._gauge.set(self._images + sum(self._batches))
