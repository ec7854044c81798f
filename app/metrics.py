"""Prometheus metrics of one service: ``GET /metrics``."""

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
"""Upper bounds of the histograms' buckets: a search takes about a millisecond, a large image about
a second."""


class Metrics:
    """Metrics of one service, in a registry of its own so that services in tests do not mix.

    Attributes:
        on_disk_since: removal time of the oldest removed case that index files still hold.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.on_disk_since: datetime | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "xemplar_requests",
            "Answered requests; status 0: the client disconnected first.",
            ("operation", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "xemplar_request_seconds",
            "Time from a request's first byte to its answer's last byte.",
            ("operation",),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "xemplar_stage_seconds",
            "Time per stage of a query: decode, preprocess, encode, search, explain, describe, "
            "render.",
            ("stage",),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self.images_inside = self._gauge(
            "images_inside", "Images held in memory, being processed or waiting."
        )
        self._ready = self._gauge("ready", "1 if the service answers queries.")
        self._cases = self._gauge("searchable_cases", "Cases that a query can find.")
        self._delta = self._gauge(
            "delta_cases", "Searchable cases added since the generation was built."
        )
        self._tombstones = self._gauge("tombstones", "Cases of the generation removed since.")
        self._age = self._gauge("generation_age_seconds", "Age of the live generation.")
        self._removal_age = self._gauge(
            "removal_age_seconds",
            "Time since the oldest removal that index files on disk do not reflect yet; 0: none.",
        )
        self._unaudited = Counter(
            "xemplar_unaudited",
            "Answered requests that could not be audited.",
            registry=self.registry,
        )
        self.keys_over = self._gauge(
            "keys_over_alarm", "API keys shown more cases today than XEMPLAR_CASES_PER_DAY_ALARM."
        )
        self._database = self._gauge("database_up", "1 if the catalog's database answers.")
        self._writable = self._gauge("writable", "1 if store and database can be written.")
        self._tasks = Gauge(
            "xemplar_task_age_seconds",
            "Time since a background task last succeeded.",
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
        """Count requests missing from the audit trail."""
        self._unaudited.inc(requests)

    def text(self, retriever: Retriever | None, tasks: Mapping[str, Task]) -> bytes:
        """Render all metrics in Prometheus's text format.

        Args:
            retriever: the retriever that answers queries; None before it is ready.
            tasks: background tasks by name.
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
        self._jobs.clear()  # no value is better than a stale one
        for state, number in (jobs or {}).items():
            self._jobs.labels(state).set(number)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"xemplar_{name}", about, registry=self.registry)
