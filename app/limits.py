"""Rate limit for requests, and limit on images and batches processed concurrently."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import Gauge

from .problems import BUSY, Refusal, come_back

MAX_CALLERS = 10_000
"""Callers whose requests are counted; beyond it, the one idle for longest is forgotten."""


class Rate:
    """Limits the rate of requests, by a token bucket for each caller."""

    def __init__(
        self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with full buckets.

        Args:
            per_second: requests a second in the long run; 0 for no limit.
            at_once: size of a bucket, the requests of a burst.
            clock: returns the time in seconds.
        """
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            Refusal: 429, with the seconds until the next request is allowed.
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
            raise self.refusal((1 - tokens) / self._per_second)

    def refusal(self, seconds: float) -> Refusal:
        """Return the refusal of a request that is allowed in so many seconds."""
        whole = max(1, math.ceil(seconds))
        return Refusal(
            "TooManyRequests",
            HTTPStatus.TOO_MANY_REQUESTS,
            f"the limit is {self._per_second:g} requests a second, after a burst of "
            f"{self._at_once}; try again in {whole} s",
            retry_after=str(whole),
        )


class ConcurrencyLimit:
    """Limits images that are processed concurrently; refuses the rest with 503 and Retry-After.

    An image and everything derived from it stays in memory until its query is answered, so an
    unbounded queue would get the process killed with all its queries. An image counts only once it
    has arrived, so slow uploads block no one (see `BodyLimit`); while all places are taken, further
    images are refused before they are read. Batches have a limit of their own, so they never block
    single images.
    """

    def __init__(self, images: int, batches: int, gauge: Gauge) -> None:
        """Start with none.

        Args:
            images: limit of single images.
            batches: limit of batches.
            gauge: shows the number of images being processed.
        """
        self._most_images, self._most_batches = images, batches
        self._images = 0
        self._batches: list[int] = []
        self._gauge = gauge

    def check_image(self) -> None:
        """Refuse an image for which there is no place now, before any of it is read.

        Raises:
            Refusal: 503, too many images.
        """
        if self._images >= self._most_images:
            raise come_back(
                BUSY,
                f"{self._images} other images are being processed, and the limit is "
                f"{self._most_images} at once",
            )

    def check_batch(self) -> None:
        """Refuse a batch for which there is no place now, before any of it is read.

        Raises:
            Refusal: 503, too many batches.
        """
        if len(self._batches) >= self._most_batches:
            raise come_back(
                BUSY,
                f"{len(self._batches)} other batches are being processed, with "
                f"{sum(self._batches)} images, and the limit is {self._most_batches} at once",
            )

    @contextmanager
    def image(self) -> Iterator[None]:
        """Count an image while it is processed.

        Raises:
            Refusal: see `check_image`.
        """
        self.check_image()
        self._images += 1
        self._tell()
        try:
            yield
        finally:
            self._images -= 1
            self._tell()

    @contextmanager
    def batch(self, images: int) -> Iterator[None]:
        """Count a batch of ``images`` images while it is processed.

        Raises:
            Refusal: see `check_batch`.
        """
        self.check_batch()
        self._batches.append(images)
        self._tell()
        try:
            yield
        finally:
            self._batches.remove(images)
            self._tell()

    def _tell(self) -> None:
        self._gauge.set(self._images + sum(self._batches))
