"""Drift as Prometheus metrics."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from .drift import ALL_VIEWS, Drift

UNKNOWN = "unknown"

PROPERTIES = ("view", "age", "brightness", "contrast", "sex", "source")


class DriftMetrics:
    """Gauges of the latest comparison, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._distance = self._gauge(
            "distance",
            "Distance of the window's mean embedding from the reference's; above 1 in one of a "
            "hundred windows without drift.",
            ("view",),
        )
        self._alarm = self._gauge("alarm", "1 if a view, or the mix of views, drifted.", ("view",))
        self._moved = self._gauge(
            "moved", "1 if a property of a view's images changed.", ("view", "property")
        )
        self._arrived = self._gauge("images", "Images of the window.", ("view",))
        self._at = self._gauge("compared_timestamp_seconds", "Time of the latest comparison.")

    def show(self, found: Sequence[Drift], at: float) -> None:
        """Replace all values by those of a comparison; ``at`` is in seconds since 1970."""
        for gauge in (self._distance, self._alarm, self._moved, self._arrived):
            gauge.clear()  # a view that no longer arrives has no value
        for one in found:
            view = one.view or UNKNOWN
            self._arrived.labels(view).set(one.arrived)
            self._alarm.labels(view).set(one.alarm)
            if one.distance is not None:
                self._distance.labels(view).set(one.distance)
            named = {moved.name for moved in one.moved}
            for name in PROPERTIES:
                if (name == "view") == (one.view == ALL_VIEWS):
                    self._moved.labels(view, name).set(name in named)
        self._at.set(at)

    def _gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"xemplar_drift_{name}", about, labels, registry=self.registry)
