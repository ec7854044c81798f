"""Cost of a catalog and its index as they grow: reindex, open, pages, filters, search, backup.

    python -m benchmarks.scale --cases 10000
    python -m benchmarks.scale --cases 10000 100000 300000 1000000 --statistics

Times are medians as processor / wall milliseconds of one thread, each step in a fresh process. Its
memory is given as what it holds alone (heap), and with the pages of files that it shares.
With `--database` the catalog is in an empty PostgreSQL database, one size at a time.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.scale_cases import BATCH, CHECKPOINT, DAYS, FIRST_DAY, Embeddings, fill
from xemplar.api.search import CaseFilter, Search
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Batch, Catalog, FilterColumns, open_catalog
from xemplar.catalog.copying import copy_catalog
from xemplar.index import AUTO, LiveIndex, build, open_generation, publish, read_manifest
from xemplar.indexing.canary import check_generation
from xemplar.retrieval.duplicates import StoredImages
from xemplar.retrieval.selection import Scope
from xemplar.retrieval.steering import Target

Figures = dict[str, str]

QUERIES = 20
"""New images searched for with each filter."""

K = 10


def cost(task: Callable[[], object], repeat: int = 7) -> str:
    """Median processor and wall time of a call, in milliseconds."""
    cpu, wall = [], []
    for _ in range(repeat):
        began = time.process_time(), time.perf_counter()
        task()
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return f"{1000 * median(cpu):,.1f} / {1000 * median(wall):,.1f}"


def memory() -> str:
    """Memory of this process: heap, and with pages of files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    heap, files = (int(status[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile"))
    return f"{heap:,} / {heap + files:,} MB"


def peak() -> str:
    """Peak memory of this process, with pages of files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return f"{int(status['VmHWM'].split()[0]) // 1024:,} MB"


def reindex(url: str, root: Path, factory: str) -> Figures:
    """Read embeddings as a reindex does, build a generation, check and publish it."""
    store = Store(root)
    with open_catalog(url) as catalog:

        def source() -> Iterator[Batch]:
            return catalog.vectors(CHECKPOINT.digest)

        built: list[str] = []
        found = {
            "reindex: all ids, first 1,024 cases": cost(lambda: next(source()), 3),
            "reindex: read all": cost(lambda: sum(len(b.ids) for b in source()), 1),
            "reindex: find cases to embed": cost(
                lambda: catalog.not_embedded(CHECKPOINT.digest), 1
            ),
            "reindex: build, with reading": cost(
                lambda: built.append(build(store, CHECKPOINT, source, factory=factory).name), 1
            ),
            "reindex: peak memory": peak(),
        }
        generation = open_generation(store, CHECKPOINT, built[0])
        found["reindex: check before publication"] = cost(
            lambda: check_generation(generation, source), 1
        )
        publish(store, built[0])
    manifest = read_manifest(store.generations / built[0])
    found["index"] = manifest.factory
    found["index: recall@10, no filter"] = f"{manifest.recall_at_10:.3f}"
    for one in manifest.probes:
        what = f"lists visited, recall@10 of filters from {one.share:.3f}"
        found[what] = f"{one.nprobe}, {one.recall_at_10:.3f}"
    return found


def use(url: str, root: Path, cases: int) -> Figures:
    """Open the generation, follow changes, list pages, resolve filters."""
    store = Store(root)
    with open_catalog(url) as catalog:
        opened: list[LiveIndex] = []
        began = memory()

        def open_index() -> None:
            opened.append(LiveIndex.of(open_generation(store, CHECKPOINT), catalog))

        found = {
            "memory: before opening": began,
            "open: the generation": cost(lambda: open_generation(store, CHECKPOINT), 3),
            "open: with what came since": cost(open_index, 1),
            "memory: open": memory(),
            "open: the filters' columns": cost(
                lambda: FilterColumns.read(catalog, opened[0].ids), 1
            ),
            "changes: one batch of 16": cost(
                lambda: catalog.embedded_ids(CHECKPOINT.digest, cases // BATCH)
            ),
            "changes: removals": cost(lambda: catalog.removed(cases // BATCH)),
        }
        for name, after in (("first", 0), ("middle", cases // 2), ("last", cases - 50)):
            found[f"page: {name}"] = cost(
                lambda after=after: catalog.page(CHECKPOINT.digest, after=after)
            )
        rare = CaseFilter(sex="F", all_of=("Hernia",))
        found["page: middle, F with hernia"] = cost(
            lambda: catalog.page(CHECKPOINT.digest, rare, after=cases // 2)
        )
        found |= filters(opened[0], catalog, Media(store.media))
        found["memory: after all searches"] = memory()
        found |= take_over(opened[0], open_index)
        found["memory: two generations open"] = memory()
    return found


def take_over(index: LiveIndex, open_index: Callable[[], None]) -> Figures:
    """Open a newly published generation while another thread searches the present one."""
    _, queries = Embeddings(seed=2).draw(QUERIES)

    def search(number: int) -> float:
        began = time.perf_counter()
        index.search(queries[number % QUERIES], K)
        return 1000 * (time.perf_counter() - began)

    alone = [search(number) for number in range(10 * QUERIES)]
    with ThreadPoolExecutor(1) as thread:
        opening = thread.submit(open_index)
        during = [search(0)]
        while not opening.done():
            during.append(search(len(during)))
        opening.result()
    return {
        f"refresh: a search {when}, median, 99 %, longest": ", ".join(
            f"{np.quantile(times, share):.1f}" for share in (0.5, 0.99, 1)
        )
        for when, times in (("before", alone), ("under it", during))
    }


def filters(index: LiveIndex, catalog: Catalog, media: Media) -> Figures:
    """Resolve the scopes of seven filters, and search without and with them."""
    images = StoredImages(media, CHECKPOINT.card.spec)
    some_day = FIRST_DAY.date() + timedelta(days=DAYS // 2)
    wanted = {
        "none": Search(),
        "sex": Search(sex="F"),
        "none_of": Search(none_of=("Infiltration",)),
        "any_of": Search(any_of=("Mass", "Nodule")),
        "age and view": Search(age_min=40, age_max=60, view=("PA",)),
        "source": Search(source=("ward",)),
        "day": Search(indexed_since=some_day, indexed_until=some_day + timedelta(days=20)),
    }

    def scope(search: Search) -> Scope:
        return Scope(index, catalog, images, search)

    found = {
        f"scope: {name}": cost(lambda search=search: scope(search), 3)
        for name, search in wanted.items()
    }
    _, queries = Embeddings(seed=1).draw(QUERIES)
    for name, search in wanted.items():
        found |= searches(name, index, catalog, search, queries)
        resolved = scope(search.model_copy(update={"k": K}))
        found[f"search, with cases and filter's ids: {name}"] = cost(
            lambda resolved=resolved: resolved.neighbours(Target(queries[0], queries[0]))
        )
    against = Search(counter_examples=3)
    found["counter-examples, with their search"] = cost(
        lambda: scope(against).counter_examples(Target(queries[0], queries[0]), "Effusion"), 3
    )
    return found


def searches(
    name: str, index: LiveIndex, catalog: Catalog, search: Search, queries: npt.NDArray[np.float32]
) -> Figures:
    """Search the index for new images with one filter; compare with all matching cases."""
    among = None
    if not search.matches_all:
        among = index.ids[np.flatnonzero(index.matching(catalog, search))]
    cpu, hits, said = [], 0, 1.0
    for query in queries:
        began = time.process_time()
        answer = index.search(query, K, (), among)
        cpu.append(1000 * (time.process_time() - began))
        said = answer.recall_at_10
        hits += len(np.intersect1d(answer.ids, index.search(query, K, (), among, exact=True).ids))
    slowest = np.quantile(cpu, 0.95)
    every = cost(lambda: index.search(queries[0], K, (), among, exact=True), 3)
    share = 1 if among is None else len(among) / len(index)
    return {
        f"search: {name}, median and 95 % CPU": f"{median(cpu):.1f}, {slowest:.1f}",
        f"recall@10: {name}, said (share)": f"{hits / QUERIES / K:.3f}, {said:.3f} ({share:.3f})",
        f"search, exact: {name}": every,
    }


def backup(url: str, root: Path) -> Figures:
    """Copy the catalog as a backup does, into SQLite."""
    copy = Store(root / "copy")
    return {
        "backup: copy of the catalog": cost(lambda: copy_catalog(url, copy.database_url), 1),
        "backup: peak memory": peak(),
    }


def measure(cases: int, database: str | None, statistics: bool, factory: str) -> Figures:
    """Make a catalog of one size and measure each step in a fresh process."""
    for library in ("OMP", "OPENBLAS"):  # of the processes that are started
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        url = database or Store(root).database_url
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as processes:
            found = processes.submit(fill, url, cases, statistics).result()
            for step, *more in ((reindex, factory), (use, cases), (backup,)):
                figures = processes.submit(step, url, root, *more).result()
                found |= figures
                for name, figure in figures.items():  # the rest may take an hour
                    print(f"{cases:,} cases: {name}: {figure}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure each size and print all of them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[10_000])
    parser.add_argument("--database", help="URL of an empty database; SQLite by default")
    parser.add_argument("--statistics", action="store_true", help="run ANALYZE after filling")
    parser.add_argument("--factory", default=AUTO, help="of the index; compare two in two runs")
    arguments = parser.parse_args()
    if arguments.database and len(arguments.cases) > 1:
        parser.error("--database takes one size: the database must be empty")
    table = Table("processor / wall, ms", box=None)
    columns = []
    for cases in arguments.cases:
        table.add_column(f"{cases:,} cases", justify="right")
        columns.append(measure(cases, arguments.database, arguments.statistics, arguments.factory))
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
