"""Keeps what the service does by itself running, whatever goes wrong, and tells how it fares."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio

from xemplar.archive.storage_errors import storage_error
from xemplar.errors import StorageError, XemplarError

UNEXPECTED = "unexpected error; the service's log tells more"

LOG = logging.getLogger("xemplar")


@dataclass
class Task:
    """State of one task.

    Attributes:
        succeeded_at: when it last did (``time.monotonic``); when it was started, before that.
        reason: why its last run failed, for whoever asks; None where it did not.
        logged: the error that stands in the log already.
    """

    succeeded_at: float = field(default_factory=time.monotonic)
    reason: str | None = None
    logged: str = ""

    @property
    def age_seconds(self) -> float:
        """Since it last succeeded."""
        return time.monotonic() - self.succeeded_at


class Tasks:
    """All tasks of a service. For the event loop alone, not for threads."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    @property
    def by_name(self) -> Mapping[str, Task]:
        """State of each task, by name."""
        return self._tasks

    async def repeat(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        after_failure: float | None = None,
    ) -> None:
        """Do something again and again, until cancelled. No error ends it.

        Args:
            name: of the task.
            work: one run.
            seconds: from one run to the next.
            after_failure: the same where the run failed, if that is another time.
        """
        self._tasks[name] = Task()
        while True:
            pause = seconds
            try:
                await work()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next run may succeed
                self.failed(name, error)
                pause = seconds if after_failure is None else after_failure
            else:
                self.succeeded(name)
            await anyio.sleep(pause)

    def succeeded(self, name: str) -> None:
        """Note a success."""
        task = self._tasks.setdefault(name, Task())
        if task.logged:
            LOG.warning("%s: succeeds again", name)
        task.succeeded_at, task.reason, task.logged = time.monotonic(), None, ""

    def failed(self, name: str, error: Exception) -> None:
        """Note a failure, and log it unless it is the one that is logged already."""
        task = self._tasks.setdefault(name, Task())
        kind = type(error).__name__
        task.reason = reason_of(error)
        described = f"{kind}: {error}"
        if described != task.logged:
            task.logged = described
            trace = None if isinstance(error, XemplarError) else error
            LOG.warning("%s: failed, and is tried again: %s", name, described, exc_info=trace)


def reason_of(error: Exception) -> str:
    """The cause of an error, for whoever asks: no path, no address, no text of another library."""
    if isinstance(error, OSError):
        error = storage_error(error) or error
    if isinstance(error, StorageError):
        return error.reason
    return type(error).__name__ if isinstance(error, XemplarError) else UNEXPECTED
