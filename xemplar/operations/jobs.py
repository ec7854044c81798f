"""`Jobs`: a queue of background jobs in the catalog's database, which outlive their workers.

::

    queued --claim--> running --finish--> done
      ^  |               |  +---fail----> failed
      |  +--cancel--+    |  +---cancel--> cancelled
      +---release---|----+
                    +-------------------> cancelled

A worker holds a job by a lease, which it renews. An expired lease means that the worker died: the
next `claim` restarts the job, with `MAX_ATTEMPTS` attempts in all.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, update

from xemplar.api.jobs import JobState as JobState
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import ChangeRow, JobRow
from xemplar.errors import NotFound

LEASE = timedelta(seconds=30)
"""Time after which a worker without a heartbeat counts as dead."""

MAX_ATTEMPTS = 3
LOG_LINES = 200
"""Number of newest log lines kept per job."""


class JobLost(Exception):
    """Raised to a worker that no longer holds its job and must not change anything."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A background job.

    Attributes:
        id: 16 hex digits.
        kind: such as "reindex".
        state: current state.
        parameters: of the job.
        done: number of completed units.
        total: number of units; None until known.
        log: lines, oldest first.
        result: of a completed job.
        error: message of a failed job.
        attempts: number of attempts.
        cancel: whether cancellation was requested.
        worker: name of the current or last worker.
        lease_until: expiry of the lease, UTC.
        created_at: UTC.
        started_at: start of the latest attempt, UTC.
        finished_at: UTC.
    """

    id: str
    kind: str
    state: JobState
    parameters: Mapping[str, Any]
    done: int
    total: int | None
    log: tuple[str, ...]
    result: Mapping[str, Any] | None
    error: str | None
    attempts: int
    cancel: bool
    worker: str | None
    lease_until: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def expected_end(self, now: datetime | None = None) -> datetime | None:
        """Estimate the end by linear extrapolation; None without enough data."""
        if self.state is not JobState.RUNNING or not (self.started_at and self.total and self.done):
            return None
        now = now or datetime.now(UTC)
        return now + (now - self.started_at) * ((self.total - self.done) / self.done)


class Jobs:
    """The job queue of a catalog. Safe to share between threads and processes."""

    def __init__(self, engine: Engine, lease: timedelta = LEASE) -> None:
        self._engine = engine
        self._lease = lease

    # ---- for clients ------------------------------------------------------------------------

    def create(self, kind: str, parameters: Mapping[str, Any]) -> Job:
        """Queue a new job."""
        with writing(self._engine) as connection:
            return _created(connection, kind, parameters)

    def create_unless_recent(
        self, kind: str, since_done: timedelta, since_failed: timedelta
    ) -> Job | None:
        """Queue a job without parameters, unless there is a current one of its kind.

        Args:
            kind: of the job.
            since_done: period after its creation in which a completed job counts as current.
            since_failed: the same for a failed or cancelled job.

        Returns:
            The new job; None if one is queued, running or current.
        """
        now, state, made = datetime.now(UTC), JobRow.state, JobRow.created_at
        counts = (
            state.in_([JobState.QUEUED.value, JobState.RUNNING.value])
            | ((state == JobState.DONE.value) & (made > now - since_done))
            | (made > now - since_failed)
        )
        query = select(JobRow.id).where(JobRow.kind == kind, counts).limit(1)
        with reading(self._engine) as connection:
            if connection.scalar(query) is not None:
                return None
        with writing(self._engine) as connection:
            # serialises processes, so that a job queued by another one is seen
            connection.execute(select(ChangeRow.number).with_for_update())
            there = connection.scalar(query)
            return _created(connection, kind, {}) if there is None else None

    def job(self, job_id: str) -> Job:
        """Return a job by its id.

        Raises:
            NotFound: there is no such job.
        """
        with reading(self._engine) as connection:
            return _job(connection, job_id)

    def newest(self, limit: int = 50) -> tuple[Job, ...]:
        """Return jobs, newest first."""
        query = select(*JobRow.__table__.c).order_by(JobRow.created_at.desc(), JobRow.id)
        with reading(self._engine) as connection:
            return tuple(map(_of_row, connection.execute(query.limit(limit)).mappings()))

    def counts(self) -> Mapping[str, int]:
        """Count the jobs by state.

        Raises:
            DatabaseUnreachable: the database does not answer.
        """
        query = select(JobRow.state, func.count()).group_by(JobRow.state)
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if no worker holds it, otherwise when its worker notices.

        Final states do not change.

        Raises:
            NotFound: there is no such job.
        """
        self.job(job_id)  # read first: writes may be refused
        with writing(self._engine) as connection:
            mine, now = JobRow.id == job_id, datetime.now(UTC)
            ended = {"state": JobState.CANCELLED.value, "cancel": True, "finished_at": now}
            connection.execute(update(JobRow).where(mine, _claimable(now)).values(ended))
            running = JobRow.state == JobState.RUNNING.value
            connection.execute(update(JobRow).where(mine, running).values(cancel=True))
            return _job(connection, job_id)

    # ---- for workers -------------------------------------------------------------------------

    def waiting(self) -> tuple[str, ...]:
        """Return the ids of claimable jobs, oldest first."""
        query = select(JobRow.id).where(_claimable(datetime.now(UTC)))
        with reading(self._engine) as connection:
            return tuple(connection.scalars(query.order_by(JobRow.created_at, JobRow.id)))

    def claim(self, job_id: str, worker: str) -> Job | None:
        """Claim a job exclusively, unless it is held or no longer wanted.

        Returns:
            The job, now running; None if it cannot be claimed.
        """
        now = datetime.now(UTC)
        free = (JobRow.id == job_id, _claimable(now))
        with writing(self._engine) as connection:
            query = select(*JobRow.__table__.c).where(*free).with_for_update()
            found = connection.execute(query).mappings().one_or_none()
            if found is None:
                return None
            job = _of_row(found)
            end = _final_state(job)
            if end is not None:
                connection.execute(update(JobRow).where(*free).values(end | {"finished_at": now}))
                return None
            lines = [f"attempt {job.attempts + 1} begins on {worker}"]
            if job.attempts:
                lines.insert(0, f"worker {job.worker} stopped before the end")
            begun = {
                "state": JobState.RUNNING.value,
                "worker": worker,
                "lease_until": now + self._lease,
                "attempts": job.attempts + 1,
                "started_at": now,
                "done": 0,
                "total": None,
                "log": _with_lines(job.log, lines),
            }
            connection.execute(update(JobRow).where(*free).values(begun))
            return _job(connection, job_id)

    def renew(self, job: Job, done: int, total: int | None, lines: tuple[str, ...] = ()) -> bool:
        """Renew the lease and report progress and log lines.

        Returns:
            True if cancellation was requested.

        Raises:
            JobLost: this worker no longer holds it.
        """
        renewed = {"done": done, "total": total, "lease_until": datetime.now(UTC) + self._lease}
        return self._change(job, renewed, lines).cancel

    def finish(self, job: Job, result: Mapping[str, Any]) -> None:
        """Mark the job as done.

        Raises:
            JobLost: this worker no longer holds it.
        """
        self._change(job, _end(JobState.DONE) | {"result": dict(result)})

    def fail(self, job: Job, error: str) -> None:
        """Mark the job as failed, without further attempts.

        Raises:
            JobLost: this worker no longer holds it.
        """
        self._change(job, _end(JobState.FAILED) | {"error": error})

    def stop(self, job: Job) -> None:
        """Mark the job as cancelled.

        Raises:
            JobLost: this worker no longer holds it.
        """
        self._change(job, _end(JobState.CANCELLED))

    def release(self, job: Job) -> None:
        """Return the job to the queue as the worker shuts down; the attempt does not count.

        Raises:
            JobLost: this worker no longer holds it.
        """
        given_back = {
            "state": JobState.QUEUED.value,
            "lease_until": None,
            "attempts": job.attempts - 1,
        }
        self._change(job, given_back, (f"worker {job.worker} ends and gives the job back",))

    def _change(self, job: Job, values: Mapping[str, Any], lines: tuple[str, ...] = ()) -> Job:
        """Update a job if this attempt still holds it."""
        held = (
            JobRow.id == job.id,
            JobRow.state == JobState.RUNNING.value,
            JobRow.worker == job.worker,
            JobRow.attempts == job.attempts,
        )
        with writing(self._engine) as connection:
            log = connection.scalar(select(JobRow.log).where(*held).with_for_update())
            if log is None:
                raise JobLost(f"job {job.id} is no longer worker {job.worker}'s")
            if lines:
                values = {**values, "log": _with_lines(log, lines)}
            connection.execute(update(JobRow).where(*held).values(dict(values)))
            return _job(connection, job.id)


def _claimable(now: datetime) -> ColumnElement[bool]:
    """Build the condition for queued jobs and for running ones with an expired lease."""
    lapsed = (JobRow.state == JobState.RUNNING.value) & (JobRow.lease_until < now)
    return (JobRow.state == JobState.QUEUED.value) | lapsed


def _final_state(job: Job) -> dict[str, Any] | None:
    """Return the final state of a job that must not be retried; None if it may be."""
    if job.cancel:
        return {"state": JobState.CANCELLED.value}
    if job.attempts >= MAX_ATTEMPTS:
        error = f"{MAX_ATTEMPTS} workers died while they ran it; look at the last one's log"
        return {"state": JobState.FAILED.value, "error": error}
    return None


def _end(state: JobState) -> dict[str, Any]:
    return {"state": state.value, "lease_until": None, "finished_at": datetime.now(UTC)}


def _with_lines(log: list[str] | tuple[str, ...], lines: list[str] | tuple[str, ...]) -> list[str]:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return [*log, *(f"{time} {line}" for line in lines)][-LOG_LINES:]


def _created(connection: Connection, kind: str, parameters: Mapping[str, Any]) -> Job:
    job_id = secrets.token_hex(8)
    row = {
        "id": job_id,
        "kind": kind,
        "state": JobState.QUEUED.value,
        "parameters": dict(parameters),
        "done": 0,
        "log": [],
        "attempts": 0,
        "cancel": False,
        "created_at": datetime.now(UTC),
    }
    connection.execute(insert(JobRow).values(row))
    return _job(connection, job_id)


def _job(connection: Connection, job_id: str) -> Job:
    query = select(*JobRow.__table__.c).where(JobRow.id == job_id)
    found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise NotFound(f"there is no job {job_id[:32]!r}")
    return _of_row(found)


def _of_row(row: Any) -> Job:
    values = {field.name: row[field.name] for field in fields(Job)}
    return Job(**values | {"state": JobState(row["state"]), "log": tuple(row["log"])})
