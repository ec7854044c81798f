"""`Jobs`: long pieces of work in the catalog's database, so that they outlive whoever runs them.

::

    queued --claim--> running --finish--> done
      ^  |               |  +---fail----> failed
      |  +--cancel--+    |  +---cancel--> cancelled
      +---release---|----+
                    +-------------------> cancelled

A worker holds a job by a lease and renews it while it lives. A lease that has lapsed means that
the worker died: the next `claim` takes the job up again, `MAX_ATTEMPTS` times in all.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, update

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import ChangeRow, JobRow
from xemplar.errors import NotFound

LEASE = timedelta(seconds=30)
"""After which a worker that says nothing is taken for dead."""

MAX_ATTEMPTS = 3
LOG_LINES = 200
"""The newest lines of a job's log are kept."""


class JobLost(Exception):
    """A worker speaks of a job that is no longer its own: it must leave everything as it is."""


class JobState(StrEnum):
    """Of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One long piece of work.

    Attributes:
        id: 16 hex digits.
        kind: what is to be done, as "reindex".
        state: where it stands.
        parameters: of the work.
        done: units that are done.
        total: of all units; None until it is known.
        log: lines, the oldest first.
        result: of a job that is done.
        error: of one that failed, for people.
        attempts: how many workers have begun it.
        cancel: whether it was asked to stop.
        worker: who runs it, or ran it last.
        lease_until: when its worker is taken for dead, UTC.
        created_at: UTC.
        started_at: when the latest attempt began, UTC.
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
        """When it will be done if it goes on as it went so far; None while nothing tells."""
        if self.state is not JobState.RUNNING or not (self.started_at and self.total and self.done):
            return None
        now = now or datetime.now(UTC)
        return now + (now - self.started_at) * ((self.total - self.done) / self.done)


class Jobs:
    """The jobs of a catalog. Safe to share between threads and processes."""

    def __init__(self, engine: Engine, lease: timedelta = LEASE) -> None:
        self._engine = engine
        self._lease = lease

    # ---- for those who want work done --------------------------------------------------------

    def create(self, kind: str, parameters: Mapping[str, Any]) -> Job:
        """Queue a new job."""
        with writing(self._engine) as connection:
            return _created(connection, kind, parameters)

    def create_unless_recent(
        self, kind: str, since_done: timedelta, since_failed: timedelta
    ) -> Job | None:
        """Queue a new job without parameters, unless there is one of its kind already.

        Args:
            kind: what is to be done.
            since_done: one that is done counts for so long after it was created.
            since_failed: likewise one that failed or was cancelled.

        Returns:
            The job; None where one waits or runs, or counts.
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
            # one process at a time gets here: what another one has queued meanwhile is seen
            connection.execute(select(ChangeRow.number).with_for_update())
            there = connection.scalar(query)
            return _created(connection, kind, {}) if there is None else None

    def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: there is none of that id.
        """
        with reading(self._engine) as connection:
            return _job(connection, job_id)

    def newest(self, limit: int = 50) -> tuple[Job, ...]:
        """The newest jobs first."""
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
        """Ask a job to stop: at once if no living worker has it, else as soon as its worker sees.

        A job that has ended stays as it ended.

        Raises:
            NotFound: there is none of that id.
        """
        self.job(job_id)  # asked before anything is written: that may be refused
        with writing(self._engine) as connection:
            mine, now = JobRow.id == job_id, datetime.now(UTC)
            ended = {"state": JobState.CANCELLED.value, "cancel": True, "finished_at": now}
            connection.execute(update(JobRow).where(mine, _claimable(now)).values(ended))
            running = JobRow.state == JobState.RUNNING.value
            connection.execute(update(JobRow).where(mine, running).values(cancel=True))
            return _job(connection, job_id)

    # ---- for workers -------------------------------------------------------------------------

    def waiting(self) -> tuple[str, ...]:
        """Ids of the jobs that a worker may claim now, the oldest first."""
        query = select(JobRow.id).where(_claimable(datetime.now(UTC)))
        with reading(self._engine) as connection:
            return tuple(connection.scalars(query.order_by(JobRow.created_at, JobRow.id)))

    def claim(self, job_id: str, worker: str) -> Job | None:
        """Take a job, if nobody has it and it is still wanted: no other worker gets it then.

        Returns:
            The job, now running; None where there is nothing to do.
        """
        now = datetime.now(UTC)
        free = (JobRow.id == job_id, _claimable(now))
        with writing(self._engine) as connection:
            query = select(*JobRow.__table__.c).where(*free).with_for_update()
            found = connection.execute(query).mappings().one_or_none()
            if found is None:
                return None
            job = _of_row(found)
            end = _end_of_dead(job)
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
        """Say that the worker lives, how far it is, and what there is to tell.

        Returns:
            Whether the job was asked to stop.

        Raises:
            JobLost: another worker has it, or nobody.
        """
        told = {"done": done, "total": total, "lease_until": datetime.now(UTC) + self._lease}
        return self._change(job, told, lines).cancel

    def finish(self, job: Job, result: Mapping[str, Any]) -> None:
        """The work is done.

        Raises:
            JobLost: another worker has it, or nobody.
        """
        self._change(job, _end(JobState.DONE) | {"result": dict(result)})

    def fail(self, job: Job, error: str) -> None:
        """The work cannot be done, and trying it again would not help.

        Raises:
            JobLost: another worker has it, or nobody.
        """
        self._change(job, _end(JobState.FAILED) | {"error": error})

    def stop(self, job: Job) -> None:
        """The work was stopped, because that was asked for.

        Raises:
            JobLost: another worker has it, or nobody.
        """
        self._change(job, _end(JobState.CANCELLED))

    def release(self, job: Job) -> None:
        """Give the job back, because this worker ends; the attempt does not count.

        Raises:
            JobLost: another worker has it, or nobody.
        """
        given_back = {
            "state": JobState.QUEUED.value,
            "lease_until": None,
            "attempts": job.attempts - 1,
        }
        self._change(job, given_back, (f"worker {job.worker} ends and gives the job back",))

    def _change(self, job: Job, values: Mapping[str, Any], lines: tuple[str, ...] = ()) -> Job:
        """Change a job that this very attempt still holds."""
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
    """Nobody works on it, or whoever did is dead."""
    lapsed = (JobRow.state == JobState.RUNNING.value) & (JobRow.lease_until < now)
    return (JobRow.state == JobState.QUEUED.value) | lapsed


def _end_of_dead(job: Job) -> dict[str, Any] | None:
    """How a job ends that is not to be taken up again; None for one that is."""
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
