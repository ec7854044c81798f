"""Rate limit for requests to all services of a database."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
from anyio import to_thread

from xemplar.errors import CorruptArtefact, StorageError
from xemplar.operations.rates import Rates

from .limits import MAX_CALLERS, Rate

SHARE = 0.1
"""Part of a burst that a service takes of a shared bucket at once, at most."""

AGAIN_SECONDS = 1.0
"""Time for which a service limits by itself after the database could not be asked."""


@dataclass
class _Share:
    """Tokens that this service holds of a caller's shared bucket.

    Attributes:
        tokens: left of them.
        refused_until: time before which the bucket is known to be empty.
        one_asks: held while the database is asked.
    """

    tokens: int = 0
    refused_until: float = 0.0
    one_asks: anyio.Lock = field(default_factory=anyio.Lock)


class SharedRate:
    """Limits the rate of requests over all services of a database. Use it from the event loop only.

    A service takes a second's tokens of a caller at a time, so that hardly any request waits for
    the database; callers of all services together never get more than the bucket holds. What a
    service holds and does not use is lost to the others, at most `SHARE` of a burst. While the
    database cannot be asked, each service limits by itself.
    """

    def __init__(
        self,
        kind: str,
        per_second: float,
        at_once: int,
        rates: Rates | None,
        pseudonym: Callable[[str, str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing taken.

        Args:
            kind: of the limit; each has its own buckets.
            per_second: requests a second in the long run; 0 for no limit.
            at_once: size of a bucket, the requests of a burst.
            rates: the buckets in the database; None for buckets in memory.
            pseudonym: names a caller's bucket by a kind and a caller, without telling the caller.
            clock: returns the time in seconds.
        """
        self._kind = kind
        self._per_second = per_second
        self._at_once = at_once
        self._rates = rates
        self._pseudonym = pseudonym
        self._clock = clock
        self._alone = Rate(per_second, at_once, clock)
        self._wanted = max(1, math.floor(min(per_second, at_once * SHARE)))
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._alone_until = 0.0

    async def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            Refusal: 429, with the seconds until the next request is allowed.
        """
        if not self._per_second:
            return
        if self._rates is None or self._clock() < self._alone_until:
            self._alone.take(caller)
            return
        share = self._shares.setdefault(caller, _Share())
        self._shares.move_to_end(caller)
        if len(self._shares) > MAX_CALLERS:
            self._shares.popitem(last=False)
        while not share.tokens:
            if self._clock() < share.refused_until:
                raise self._alone.refusal(share.refused_until - self._clock())
            if self._clock() < self._alone_until:
                self._alone.take(caller)
                return
            async with share.one_asks:
                if not share.tokens and self._clock() >= share.refused_until:
                    await self._ask(self._rates, caller, share)
        share.tokens -= 1

    async def _ask(self, rates: Rates, caller: str, share: _Share) -> None:
        def ask() -> tuple[int, float]:
            bucket = f"{self._kind} {self._pseudonym(self._kind, caller)}"
            return rates.take(bucket, self._wanted, self._per_second, self._at_once)

        try:
            share.tokens, seconds = await to_thread.run_sync(ask)
        except (StorageError, CorruptArtefact):  # the background task "rates" reports it
            self._alone_until = self._clock() + AGAIN_SECONDS
        else:
            share.refused_until = self._clock() + seconds
