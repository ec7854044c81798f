"""Cost of auditing reads of cases, on SQLite and on PostgreSQL.

One client reads 2,000 cases one after the other over HTTP, twice: with their entries gathered and
written, as the service does, and with `AuditTrail` told to gather nothing, in turns of 200. Each
turn ends with a page of the trail, so that what waits is written within the turn that made it.

The ratio is of processor time, of client, service and SQLite together: on a machine that is busy
with something else too, the time until an answer says little.

    python -m benchmarks.auditing
    python -m benchmarks.auditing --requests 4000 --database sqlite
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from unittest.mock import patch

import httpx2
from rich.console import Console
from rich.table import Table
from xemplar_app.audit import AuditTrail
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.reading import served
from tests.system.postgres import Postgres
from tests.system.served import phantom_site
from xemplar.model.encoder import Precision

CASES = 50
TURN = 200
DATABASES = ("sqlite", "postgresql")


@contextmanager
def service(database: str) -> Iterator[httpx2.Client]:
    """A client of a service in this process, on phantoms."""
    with tempfile.TemporaryDirectory() as name, _database(database) as url:
        site = phantom_site(Path(name), CASES, url)
        settings = ServiceSettings(
            store=site.store.root,
            checkpoint=site.checkpoint,
            database_url=url,
            precision=Precision.FLOAT32,
            threads=1,
            requests_per_second=0,
        )
        with (
            served(settings, open_retriever(settings)) as address,
            httpx2.Client(base_url=address, timeout=60) as client,
        ):
            yield client


@contextmanager
def _database(database: str) -> Iterator[str]:
    if database == "sqlite":
        yield ""
        return
    with Postgres() as server:
        yield server.create("auditing")


@dataclass(frozen=True)
class Turn:
    """Milliseconds of each request, and of processor time in all."""

    times: list[float]
    processor: float


def turn(client: httpx2.Client, addresses: Sequence[str]) -> Turn:
    """Ask; the last request waits until all entries are written."""
    times, worked = [], time.process_time()
    for address in (*addresses, "/audit?limit=1"):
        began = time.perf_counter()
        client.get(address).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return Turn(times, (time.process_time() - worked) * 1000)


def measure(client: httpx2.Client, requests: int) -> tuple[list[Turn], list[Turn]]:
    """Turns without the audit of reads and with it."""
    cases = [one["case_id"] for one in client.get("/cases?limit=200").json()["cases"]]
    kinds = [f"/cases/{case}{kind}" for case in cases for kind in ("", "/image?side=64")]
    addresses = cycle(kinds)
    turn(client, kinds)  # warm
    without, with_audit = [], []
    for _ in range(requests // TURN):
        asked = list(islice(addresses, TURN))
        with patch.object(AuditTrail, "_gather", lambda *_: None):
            without.append(turn(client, asked))
        with_audit.append(turn(client, asked))
    return without, with_audit


def main() -> None:
    """Measure on each database, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--database", choices=DATABASES, nargs="+", default=DATABASES)
    arguments = parser.parse_args()
    table = Table(box=None)
    for title in ("database", "audit", "median, ms", "p99, ms", "processor, ms", "ratio by turn"):
        table.add_column(title, justify="right")
    for database in arguments.database:
        with service(database) as client:
            without, with_audit = measure(client, arguments.requests)
        pairs = zip(without, with_audit, strict=True)
        ratios = [on.processor / off.processor for off, on in pairs]
        spread = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        for name, turns, ratio in (("off", without, ""), ("on", with_audit, spread)):
            times = [one for each in turns for one in each.times]
            worked = sum(each.processor for each in turns) / len(times)
            p99 = quantiles(times, n=100)[98]
            figures = (f"{median(times):.2f}", f"{p99:.2f}", f"{worked:.2f}", ratio)
            table.add_row(database, name, *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
