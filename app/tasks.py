"""Background tasks of the service, repeated despite errors, and their state."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio

from xemplar.archive.storage_errors import storage_error
from xemplar.errors import StorageError, XemplarError

UNEXPECTED = "unexpected error; the service's log has the details"

LOG = logging.getLogger("xemplar")


@dataclass
class Task:
    """State of one task.

    Attributes:
        succeeded_at: time of its last success (``time.monotonic``), or else of its start.
        reason: why its last run failed, in words that may be shown to callers; None if it did not.
        logged: error that has already been logged.
    """

    succeeded_at: float = field(default_factory=time.monotonic)
    reason: str | None = None
    logged: str = ""

    @property
    def age_seconds(self) -> float:
        """Time since its last success."""
        return time.monotonic() - self.succeeded_at


class Tasks:
    """Background tasks of a service. Used from the event loop only."""

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
        """Run a task repeatedly until cancelled. Errors are logged and do not end it.

        Args:
            name: name of the task.
            work: one run of it.
            seconds: pause between runs.
            after_failure: pause after a failed run, if different.
        """
        self._tasks[name] = Task()
        while True:
            pause = seconds
            try:
                await work()
            except Exception as error:  # noqa: BLE001 -- the next run may succeed after any error
                self.failed(name, error)
                pause = seconds if after_failure is None else after_failure
            else:
                self.succeeded(name)
            await anyio.sleep(pause)

    def succeeded(self, name: str) -> None:
        """Record a success."""
        task = self._tasks.setdefault(name, Task())
        if task.logged:
            LOG.warning("%s: succeeds again", name)
        task.succeeded_at, task.reason, task.logged = time.monotonic(), None, ""

    def failed(self, name: str, error: Exception) -> None:
        """Record a failure, and log it unless the same one has already been logged."""
        task = self._tasks.setdefault(name, Task())
        kind = type(error).__name__
        task.reason = reason_of(error)
        described = f"{kind}: {error}"
        if described != task.logged:
            task.logged = described
            trace = None if isinstance(error, XemplarError) else error
            LOG.warning("%s: failed, and is tried again: %s", name, described, exc_info=trace)


def reason_of(error: Exception) -> str:
    """Return an error's cause in words for callers: no path, address or other library's text."""
    if isinstance(error, OSError):
        error = storage_error(error) or error
    if isinstance(error, StorageError):
        return error.reason
    return type(error).__name__ if isinstance(error, XemplarError) else UNEXPECTED
