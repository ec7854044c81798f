"""Pace of a run: images a second, and hours of the day."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as time_of_day

from xemplar.errors import InvalidArgument


class RateLimit:
    """Lets at most so many images a second begin. Thread-safe."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``rate``: images a second; 0 for no limit."""
        self._seconds = 1 / rate if rate else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for the turn of one image."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._seconds
        if turn > now:
            self._sleep(turn - now)


@dataclass(frozen=True)
class Hours:
    """Hours of the day, which may pass midnight.

    Attributes:
        begin: local time; equal to ``end`` for the whole day.
        end: local time.
    """

    begin: time_of_day
    end: time_of_day

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """Parse HH:MM-HH:MM; an empty text is the whole day.

        Raises:
            InvalidArgument: it is something else.
        """
        if not text:
            return cls(time_of_day(), time_of_day())
        found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text)
        if found is None:
            raise InvalidArgument(
                f"--between {text[:40]!r} should be hours of the day, as 22:00-06:00"
            )
        hour, minute, last_hour, last_minute = map(int, found.groups())
        return cls(time_of_day(hour, minute), time_of_day(last_hour, last_minute))

    def seconds_until(self, now: datetime) -> float:
        """Seconds until the hours begin; 0 within them.

        Args:
            now: local time without a zone, as the wall clock has it.
        """
        if self._holds(now.time()):
            return 0.0
        begin = datetime.combine(now.date(), self.begin)
        return ((begin if begin > now else begin + timedelta(days=1)) - now).total_seconds()

    def _holds(self, at: time_of_day) -> bool:
        if self.begin == self.end:
            return True
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end
