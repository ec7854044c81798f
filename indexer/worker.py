"""The worker: claims jobs from the catalog and runs them one at a time.

::

    look     polls the catalog each second for queued jobs
    beat     a thread that renews the lease each second and notices cancellation

The lease of a killed worker expires, and the next worker to poll claims the job. A worker that is
asked to stop releases its job at once.
"""

import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from xemplar.archive.storage_errors import storage_error
from xemplar.errors import DatabaseUnreachable, StorageError, XemplarError
from xemplar.operations.jobs import Job, JobLost, Jobs

BEAT_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""Polling interval while no job is queued."""

STOP_SECONDS = 5.0
"""Time that a stopping worker waits for its job to notice."""

LOG = logging.getLogger("xemplar.worker")


class Cancelled(Exception):
    """Raised in a job whose cancellation was requested."""


Work = Callable[[Job, "JobWatcher"], Mapping[str, Any]]
"""Runs a job and returns its result."""


class JobWatcher:
    """Reports a running job's progress and stops it; see `indexer.reindex.ProgressWatcher`."""

    def __init__(self, jobs: Jobs, job: Job, beat_seconds: float = BEAT_SECONDS) -> None:
        self._jobs = jobs
        self._job = job
        self._beat_seconds = beat_seconds
        self._done = 0
        self._total: int | None = None
        self._lines: list[str] = []
        self._end: Exception | None = None
        self._lock = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._beat, name=f"beat-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if not isinstance(error, JobLost):
            with suppress(JobLost):
                self._renew()  # write the last lines to the log

    def moved(self, done: int, total: int) -> None:
        """Implements `ProgressWatcher.moved`."""
        self._done, self._total = done, total
        if self._end is not None:
            raise self._end

    def say(self, line: str) -> None:
        """Implements `ProgressWatcher.say`."""
        LOG.info("job %s: %s", self._job.id, line)
        with self._lock:
            self._lines.append(line)
        if self._end is not None:
            raise self._end

    def confirm(self) -> None:
        """Implements `ProgressWatcher.confirm`: asks the catalog without waiting for a beat."""
        self._renew()
        if self._end is not None:
            raise self._end

    def _renew(self) -> None:
        with self._lock:
            if self._jobs.renew(self._job, self._done, self._total, tuple(self._lines)):
                self._end = Cancelled()
            self._lines.clear()

    def _beat(self) -> None:
        last_error = ""
        while not self._ended.wait(self._beat_seconds):
            try:
                self._renew()
            except JobLost as lost:
                self._end = lost
                return
            except Exception as error:  # noqa: BLE001 -- the next beat may succeed
                if str(error) != last_error:
                    last_error = str(error)
                    LOG.warning(
                        "the progress of job %s cannot be reported: %s", self._job.id, error
                    )
            else:
                last_error = ""


class Worker:
    """Runs jobs; any number of workers can run on machines with access to store and catalog."""

    def __init__(self, jobs: Jobs, works: Mapping[str, Work]) -> None:
        """Prepare to listen.

        Args:
            jobs: of the catalog.
            works: kind of job -> function that runs it.
        """
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(2)}"
        self._jobs = jobs
        self._works = works
        self._running: Job | None = None

    def listen(self) -> None:
        """Run jobs until SIGTERM (stops at once) or SIGINT (Ctrl-C; stops after the job).

        Jobs run in another thread, as their calls may block for minutes.
        """
        signals: SimpleQueue[int] = SimpleQueue()  # the only queue that a signal handler may use
        over, ended = Event(), 0

        def work() -> None:
            try:
                self.work(over)
            finally:
                signals.put(ended)

        thread = Thread(target=work, name="work", daemon=True)
        before = {
            number: signal.signal(number, lambda number, _frame: signals.put(number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        thread.start()
        try:
            while (number := signals.get()) == signal.SIGINT:
                over.set()
                LOG.info("worker %s ends after its job; SIGTERM ends it at once", self.name)
            over.set()
            if number == signal.SIGTERM:
                self._release()
                thread.join(STOP_SECONDS)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def work(self, over: Event) -> None:
        """Run queued jobs, oldest first, polling each second until ``over`` is set."""
        last_error = ""
        while not over.is_set():
            done = False
            try:
                waiting = self._jobs.waiting()
                done = any(not over.is_set() and self.run(job_id) for job_id in waiting)
            except Exception as error:  # noqa: BLE001 -- the next poll may succeed
                if str(error) != last_error:
                    last_error = str(error)
                    LOG.warning("queued jobs cannot be read: %s", error)
            else:
                last_error = ""
            if not done:
                over.wait(LOOK_SECONDS)

    def run(self, job_id: str) -> bool:
        """Run a job, if it can be claimed.

        Returns:
            True if this worker ran it.
        """
        job = self._jobs.claim(job_id, self.name)
        if job is None:
            return False
        LOG.info("job %s: %s, attempt %d", job.id, job.kind, job.attempts)
        self._running = job
        try:
            self._do(job)
        except JobLost as lost:
            LOG.warning("%s; its finished work is kept", lost)
        except StorageError as error:
            LOG.warning("job %s is retried when its lease expires: %s", job.id, error)
        finally:
            self._running = None
        return True

    def _do(self, job: Job) -> None:
        try:
            with JobWatcher(self._jobs, job) as watch:
                result = self._works[job.kind](job, watch)
        except Cancelled:
            self._jobs.stop(job)
            LOG.info("job %s: cancelled", job.id)
        except (JobLost, DatabaseUnreachable):
            raise  # without the database the lease expires, and the job is retried
        except XemplarError as error:
            self._fail(job, error)
        except Exception as error:
            known = storage_error(error) if isinstance(error, OSError) else None
            if known is not None:
                self._fail(job, known)
                return
            LOG.exception("job %s failed", job.id)
            kind = type(error).__name__
            self._jobs.fail(job, f"unexpected error ({kind}); the worker's log tells more")
        else:
            self._jobs.finish(job, result)
            LOG.info("job %s: done", job.id)

    def _fail(self, job: Job, error: XemplarError) -> None:
        LOG.error("job %s: %s: %s", job.id, type(error).__name__, error)
        self._jobs.fail(job, f"{type(error).__name__}: {error}")

    def _release(self) -> None:
        job = self._running
        if job is not None:
            with suppress(JobLost, StorageError):  # otherwise its lease expires
                self._jobs.release(job)
