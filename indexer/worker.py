"""The worker: takes jobs from the catalog, one at a time, and does them.

::

    look     each second into the catalog, for jobs that wait
    beat     a thread that renews the lease each second, and sees that the job is to stop

A worker that is killed says nothing more: its lease lapses, and the next look of any worker finds
the job. A worker that is told to end gives its job back at once.
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
"""Between two looks into the catalog, while no job waits there."""

STOP_SECONDS = 5.0
"""That a worker which is told to end waits for what it runs to notice."""

LOG = logging.getLogger("xemplar.worker")


class Cancelled(Exception):
    """The job was asked to stop."""


Work = Callable[[Job, "Watch"], Mapping[str, Any]]
"""Does a job and gives its result."""


class Watch:
    """What a running job is told through, and tells through; see `indexer.reindex.Watcher`."""

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
                self._renew()  # so that the last lines are in the log

    def moved(self, done: int, total: int) -> None:
        """Implements `Watcher.moved`."""
        self._done, self._total = done, total
        if self._end is not None:
            raise self._end

    def say(self, line: str) -> None:
        """Implements `Watcher.say`."""
        LOG.info("job %s: %s", self._job.id, line)
        with self._lock:
            self._lines.append(line)
        if self._end is not None:
            raise self._end

    def confirm(self) -> None:
        """Implements `Watcher.confirm`: asks the catalog now, and does not wait for the beat."""
        self._renew()
        if self._end is not None:
            raise self._end

    def _renew(self) -> None:
        with self._lock:
            if self._jobs.renew(self._job, self._done, self._total, tuple(self._lines)):
                self._end = Cancelled()
            self._lines.clear()

    def _beat(self) -> None:
        told = ""
        while not self._ended.wait(self._beat_seconds):
            try:
                self._renew()
            except JobLost as lost:
                self._end = lost
                return
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next beat may succeed
                if str(error) != told:
                    told = str(error)
                    LOG.warning("job %s cannot be told of: %s", self._job.id, error)
            else:
                told = ""


class Worker:
    """Runs jobs; several may run beside each other, on any machine that sees store and catalog."""

    def __init__(self, jobs: Jobs, works: Mapping[str, Work]) -> None:
        """Prepare to listen.

        Args:
            jobs: of the catalog.
            works: kind of job -> what does it.
        """
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(2)}"
        self._jobs = jobs
        self._works = works
        self._running: Job | None = None

    def listen(self) -> None:
        """Work until the process is told to end: SIGTERM at once, SIGINT (Ctrl-C) after the job.

        The work is done by another thread, as what it calls may not return for minutes.
        """
        told: SimpleQueue[int] = SimpleQueue()  # the one queue that a signal handler may put into
        over, ended = Event(), 0

        def work() -> None:
            try:
                self.work(over)
            finally:
                told.put(ended)

        thread = Thread(target=work, name="work", daemon=True)
        before = {
            number: signal.signal(number, lambda number, _frame: told.put(number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        thread.start()
        try:
            while (number := told.get()) == signal.SIGINT:
                over.set()
                LOG.info("worker %s ends after its job; SIGTERM ends it at once", self.name)
            over.set()
            if number == signal.SIGTERM:
                self._give_back()
                thread.join(STOP_SECONDS)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def work(self, over: Event) -> None:
        """Do waiting jobs, the oldest first, until it is over; look for new ones each second."""
        told = ""
        while not over.is_set():
            done = False
            try:
                waiting = self._jobs.waiting()
                done = any(not over.is_set() and self.run(job_id) for job_id in waiting)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may succeed
                if str(error) != told:
                    told = str(error)
                    LOG.warning("waiting jobs cannot be looked for: %s", error)
            else:
                told = ""
            if not done:
                over.wait(LOOK_SECONDS)

    def run(self, job_id: str) -> bool:
        """Do one job, if it is still to be done and nobody else does it.

        Returns:
            Whether it was this worker's.
        """
        job = self._jobs.claim(job_id, self.name)
        if job is None:
            return False
        LOG.info("job %s: %s, attempt %d", job.id, job.kind, job.attempts)
        self._running = job
        try:
            self._do(job)
        except JobLost as lost:
            LOG.warning("%s; what it did is left as it is", lost)
        except StorageError as error:
            LOG.warning("job %s is taken up again when its lease lapses: %s", job.id, error)
        finally:
            self._running = None
        return True

    def _do(self, job: Job) -> None:
        try:
            with Watch(self._jobs, job) as watch:
                result = self._works[job.kind](job, watch)
        except Cancelled:
            self._jobs.stop(job)
            LOG.info("job %s: cancelled", job.id)
        except (JobLost, DatabaseUnreachable):
            raise  # with the database gone, the lease lapses, and the job is taken up again
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

    def _give_back(self) -> None:
        job = self._running
        if job is not None:
            with suppress(JobLost, StorageError):  # else its lease lapses
                self._jobs.release(job)
