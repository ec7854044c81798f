"""Prometheus metrics of the node, on a port of its own; numbers and fixed words only."""

from collections.abc import Iterator
from datetime import UTC, datetime
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .outbox.outbox import IMAGE, Outbox

KINDS = (IMAGE, "secondary capture", "structured report")
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class _Waiting(Collector):
    """Gauges that are read from the outbox when they are asked for."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Implement prometheus_client's interface."""
        waiting = GaugeMetricFamily(
            "xemplar_pacs_items", "Images and results in the outbox.", labels=("kind", "state")
        )
        counts = self._outbox.counts()
        for kind in KINDS:
            for state, held in (("waiting", False), ("held", True)):
                waiting.add_metric((kind, state), counts.get((kind, held), 0))
        yield waiting
        oldest = self._outbox.oldest()
        age = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
        yield GaugeMetricFamily(
            "xemplar_pacs_oldest_seconds", "Age of the oldest of them; 0: none.", max(0.0, age)
        )

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without reading the outbox."""
        yield GaugeMetricFamily("xemplar_pacs_items", "")
        yield GaugeMetricFamily("xemplar_pacs_oldest_seconds", "")


class NodeMetrics:
    """Metrics of one node, in a registry of its own so that nodes in tests do not mix.

    Attributes:
        registry: of them all.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Waiting(outbox))
        self._received = self._counter(
            "received", "C-STORE requests by the status that they were answered with.", "status"
        )
        self._associations = self._counter(
            "associations", "Associations: accepted, or why not.", "outcome"
        )
        self._images = self._counter("images", "Images that are done with, by outcome.", "outcome")
        self._delivered = self._counter("delivered", "Results that the archive took.", "kind")
        self._failed = self._counter(
            "delivery_failures", "Attempts that failed: the archive was away, or refused.", "why"
        )
        self._seconds = Histogram(
            "xemplar_pacs_answer_seconds",
            "Time from the beginning of a question to its results in the outbox.",
            buckets=SECONDS,
            registry=self.registry,
        )

    def received(self, status: int) -> None:
        """Count an answered C-STORE request."""
        self._received.labels(f"{status:04X}").inc()

    def association(self, outcome: str) -> None:
        """Count an association."""
        self._associations.labels(outcome).inc()

    def image(self, outcome: str) -> None:
        """Count an image that is done with."""
        self._images.labels(outcome).inc()

    def answered(self, seconds: float) -> None:
        """Count the time that an answer took."""
        self._seconds.observe(seconds)

    def delivered(self, kind: str) -> None:
        """Count a delivered result."""
        self._delivered.labels(kind).inc()

    def failed(self, why: str) -> None:
        """Count a failed attempt to deliver."""
        self._failed.labels(why).inc()

    def serve(self, host: str, port: int) -> WSGIServer:
        """Answer ``GET /metrics`` in a thread; the caller shuts the server down."""
        server, _ = start_http_server(port, host, self.registry)
        return server

    def _counter(self, name: str, meaning: str, label: str) -> Counter:
        return Counter(f"xemplar_pacs_{name}", meaning, (label,), registry=self.registry)
