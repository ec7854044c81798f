"""Load test while the index changes: measures latencies; no request may fail or be answered
wrongly.

Service and worker are separate processes. 16 clients send requests without pause: plain and
filtered queries, overlays, batches, similar cases and lists; they also upload and delete cases.
Meanwhile the live generation changes ten times, alternating between a reindex job, which merges the
changes, and a rollback to the previous generation.

It fails if any request fails, an uploaded case is not found within 2 s, a deleted case appears in
an answer after its deletion was acknowledged, or the service does not switch to a generation within
2 s.

    python -m tests.system.load
    python -m tests.system.load --minutes 1 --clients 4
    python -m tests.system.load --data nih14     # real images and the shipped checkpoint
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from tests.agreement import PATIENCE
from tests.system.clients import clients_asking
from tests.system.common import show, verdict
from tests.system.recorder import Recorder, Sample
from tests.system.served import Site, phantom_site, real_site, serving
from xemplar.catalog import open_catalog
from xemplar.index import current
from xemplar.indexing.publishing import activate

SWITCH_SECONDS = 2.0
SEARCHABLE_SECONDS = 2.0
JOB_SECONDS = 300.0
LOOK_SECONDS = 0.01
MEBI = 2**20


@dataclass(frozen=True)
class Swap:
    """A change of the live generation.

    Attributes:
        way: "forward" or "back".
        generation: the one that was published.
        seconds: from its publication until the service used it.
    """

    way: str
    generation: str
    seconds: float


class Swaps:
    """Changes the live generation and measures how soon the service switches."""

    def __init__(self, site: Site, http: httpx2.Client) -> None:
        self._site = site
        self._http = http
        self.done: list[Swap] = []

    def forward(self) -> None:
        """Publish a new generation by a reindex job.

        Raises:
            RuntimeError: the job failed or took too long.
        """
        before, deadline = current(self._site.store), time.monotonic() + JOB_SECONDS
        job = self._http.post("/jobs/reindex").raise_for_status().json()["id"]
        looks = 0
        while current(self._site.store) == before:
            time.sleep(LOOK_SECONDS)
            looks += 1
            if looks % 100 == 0:
                told = self._http.get(f"/jobs/{job}").json()
                if told["state"] in ("failed", "cancelled") or time.monotonic() > deadline:
                    raise RuntimeError(f"job {job} is {told['state']}: {told['error']}")
        self._await("forward")

    def back(self, name: str) -> None:
        """Activate an older generation."""
        with open_catalog(self._site.store.database_url) as catalog:
            activate(self._site.store, catalog, name)
            self._await("back")

    def _await(self, way: str) -> None:
        began, name = time.monotonic(), current(self._site.store)
        while self._http.get("/readyz").raise_for_status().json()["generation"] != name:
            time.sleep(LOOK_SECONDS)
            if time.monotonic() - began > JOB_SECONDS:
                raise RuntimeError(f"generation {name} is not used by the service")
        self.done.append(Swap(way, name, time.monotonic() - began))


def load(
    site: Site, url: str, *, seconds: float, swaps: int, clients: int, progress: Progress
) -> tuple[Recorder, list[Swap]]:
    """Run clients for ``seconds`` while the generation changes ``swaps`` times."""
    recorder = Recorder(site.images)
    task = progress.add_task("requests", total=seconds)
    began = time.monotonic()

    def until(share: float) -> None:
        while (passed := time.monotonic() - began) < share * seconds:
            progress.update(task, completed=passed)
            time.sleep(0.1)

    with httpx2.Client(base_url=url, timeout=60) as http:
        changes = Swaps(site, http)
        with clients_asking(url, recorder, clients):
            for number in range(swaps):
                until((number + 0.5) / swaps)
                if number % 2 == 0:
                    older = current(site.store)
                    changes.forward()
                else:
                    changes.back(older)
            until(1)
        recorder.check_acknowledged(http)
    return recorder, changes.done


def rows_of(samples: list[Sample]) -> list[tuple[object, ...]]:
    """Tabulate requests, failures and latency percentiles by kind, with the total last."""
    kinds: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        kinds[sample.kind].append(sample)
    kinds = dict(sorted(kinds.items()))
    rows: list[tuple[object, ...]] = []
    for kind, some in [*kinds.items(), ("all", samples)]:
        ms = 1000 * np.array([sample.seconds for sample in some])
        figures = [f"{value:,.0f}" for value in (*np.percentile(ms, (50, 99)), ms.max())]
        failed = sum(not sample.ok for sample in some)
        rows.append((kind, f"{len(some):,}", failed, *figures))
    return rows


def faults(
    recorder: Recorder,
    swaps: list[Swap],
    *,
    switch_seconds: float = SWITCH_SECONDS,
    searchable_seconds: float = SEARCHABLE_SECONDS,
) -> list[str]:
    """List all faults."""
    return [
        *(f"{s.kind}: {s.status} {s.detail}" for s in recorder.samples if not s.ok),
        *recorder.wrong,
        *(
            f"case {case_id} was found only {seconds:.1f} s after upload"
            for case_id, seconds in recorder.searchable.items()
            if seconds > searchable_seconds
        ),
        *(
            f"generation {swap.generation} answered only after {swap.seconds:.1f} s"
            for swap in swaps
            if swap.seconds > switch_seconds
        ),
    ]


def report(recorder: Recorder, swaps: list[Swap], seconds: float) -> None:
    """Print the figures."""
    columns = ("request", "sent", "failed", "p50 ms", "p99 ms", "longest ms")
    show("Requests", columns, rows_of(recorder.samples))
    rows = [(n, s.way, s.generation, f"{s.seconds:.2f}") for n, s in enumerate(swaps, 1)]
    show("Changes of the live generation", ("", "way", "generation", "used after s"), rows)
    uploads, found = len(recorder.searchable), max(recorder.searchable.values(), default=0.0)
    deleted = sum(s.kind == "delete" and s.ok for s in recorder.samples)
    Console(highlight=False).print(
        f"{len(recorder.samples) / seconds:.0f} requests per second; {uploads:,} cases uploaded, "
        f"each found by the next query or at most {found:.2f} s later; {deleted:,} deleted"
    )


def memory(url: str) -> float:
    """Return the service's resident memory in MiB."""
    for line in httpx2.get(f"{url}/metrics", timeout=PATIENCE).text.splitlines():
        if line.startswith("process_resident_memory_bytes "):
            return float(line.split()[1]) / MEBI
    raise RuntimeError("the metrics do not contain the service's memory")


def main() -> int:
    """Create and serve a store, run clients and report."""
    named = os.environ.get("XEMPLAR_DATA")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--swaps", type=int, default=10, help="changes of the generation")
    parser.add_argument("--images", type=int, default=200, help="indexed cases")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(named) if named else None,
        help="real data set, with the shipped checkpoint; default: XEMPLAR_DATA, else phantoms",
    )
    asked = parser.parse_args()
    seconds = 60 * asked.minutes
    with TemporaryDirectory(prefix="xemplar-load-") as name, Progress() as progress:
        folder = Path(name)
        progress.console.print(f"indexing {asked.images} images")
        if asked.data is None:
            site = phantom_site(folder, asked.images)
        else:
            site = real_site(folder, asked.data, asked.images)
        with serving(site, folder) as url:
            at_start = memory(url)
            recorder, swaps = load(
                site,
                url,
                seconds=seconds,
                swaps=asked.swaps,
                clients=asked.clients,
                progress=progress,
            )
            at_end = memory(url)
    report(recorder, swaps, seconds)
    wrong = faults(recorder, swaps)
    console = Console(highlight=False)
    console.print(f"The service's memory: {at_start:.0f} MiB before, {at_end:.0f} MiB after")
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
