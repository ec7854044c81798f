"""Metrics for Prometheus, of one service: ``GET /metrics``."""

from collections.abc import Mapping
from datetime import UTC, datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from sqlalchemy import Engine

from xemplar.errors import StorageError
from xemplar.operations.jobs import Jobs
from xemplar.retrieval.retriever import Retriever

from .tasks import Task

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper ends of a histogram's classes: a search takes about one millisecond, a large image one
second."""


class Metrics:
    """What is counted. Each service has its own registry, so that tests do not add up.

    Attributes:
        on_disk_since: when the first case was removed that index files on disk still hold.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.on_disk_since: datetime | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "xemplar_requests",
            "Requests that were answered; status 0: the client left first.",
            ("operation", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "xemplar_request_seconds",
            "From a request's first byte to its answer's last.",
            ("operation",),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "xemplar_stage_seconds",
            "Of a query, by stage (decode, preprocess, encode, search, explain, describe, render).",
            ("stage",),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self.images_inside = self._gauge(
            "images_inside", "Images held in memory, worked on or not."
        )
        self._ready = self._gauge("ready", "1 when queries are answered.")
        self._cases = self._gauge("searchable_cases", "Cases that a query can find.")
        self._delta = self._gauge("delta_cases", "Of these, those that came since the generation.")
        self._tombstones = self._gauge("tombstones", "Of the generation, those that went since.")
        self._age = self._gauge("generation_age_seconds", "Since the live generation was built.")
        self._removal_age = self._gauge(
            "removal_age_seconds",
            "Since the first case was removed that index files on disk still hold; 0: none.",
        )
        self._unaudited = Counter(
            "xemplar_unaudited",
            "Requests that were answered and could not be audited.",
            registry=self.registry,
        )
        self.keys_over = self._gauge(
            "keys_over_alarm", "API keys shown more cases today than XEMPLAR_CASES_PER_DAY_ALARM."
        )
        self._database = self._gauge("database_up", "1 when the catalog's database answers.")
        self._writable = self._gauge("writable", "1 when store and database take changes.")
        self._tasks = Gauge(
            "xemplar_task_age_seconds",
            "Since a task in the background last succeeded.",
            ("task",),
            registry=self.registry,
        )
        self._jobs = Gauge("xemplar_jobs", "Jobs, by state.", ("state",), registry=self.registry)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    def timed(self, timings_ms: Mapping[str, float]) -> None:
        """Count a query's stages."""
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def not_audited(self, requests: int = 1) -> None:
        """Count requests that are missing from the audit trail."""
        self._unaudited.inc(requests)

    def text(self, retriever: Retriever | None, tasks: Mapping[str, Task]) -> bytes:
        """All of it, in Prometheus's text format.

        Args:
            retriever: what answers; None before it is ready.
            tasks: in the background, by name.
        """
        for name, task in tasks.items():
            self._tasks.labels(name).set(task.age_seconds)
        self._writable.set("writes" in tasks and tasks["writes"].reason is None)
        self._ready.set(retriever is not None)
        if retriever is not None:
            generation = retriever.generation
            age = datetime.now(UTC) - datetime.fromisoformat(generation.manifest.created)
            self._cases.set(len(generation))
            self._delta.set(generation.changes.added)
            self._tombstones.set(generation.changes.removed)
            self._age.set(age.total_seconds())
        since = self.on_disk_since
        self._removal_age.set((datetime.now(UTC) - since).total_seconds() if since else 0)
        self._count_jobs()
        return generate_latest(self.registry)

    def _count_jobs(self) -> None:
        try:
            jobs = Jobs(self._engine).counts()
        except StorageError:
            jobs = None
        self._database.set(jobs is not None)
        self._jobs.clear()  # better no figure than an old one
        for state, number in (jobs or {}).items():
            self._jobs.labels(state).set(number)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"xemplar_{name}", about, registry=self.registry)
