"""Waits between attempts: they double up to a ceiling, less some chance, and know no clock.

They are kept in memory, in monotonic time: a clock that jumps moves no attempt, and a restart tries
everything at once.
"""

import random
import time
from collections.abc import Callable

FIRST_SECONDS = 1.0


class Backoff:
    """When something that failed may be tried again."""

    def __init__(
        self,
        ceiling: float,
        first: float = FIRST_SECONDS,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepare to count failures.

        Args:
            ceiling: longest wait in seconds.
            first: wait after the first failure.
            now: monotonic time in seconds.
            chance: from 0 to below 1; up to half of a wait is taken off by it, so that many nodes
                do not come back at the same moment.
        """
        self._ceiling = ceiling
        self._first = first
        self._now = now
        self._chance = chance
        self._failures = 0
        self._until = 0.0

    @property
    def seconds(self) -> float:
        """Seconds until the next attempt; 0 if it is due."""
        return max(0.0, self._until - self._now()) if self._failures else 0.0

    def failed(self) -> None:
        """Wait longer than before."""
        wait = min(self._ceiling, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._until = self._now() + wait * (1 - self._chance() / 2)

    def reset(self) -> None:
        """Let the next attempt come at once."""
        self._failures = 0
