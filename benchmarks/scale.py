"""Cost of a catalog and its index as they grow: reindex, changes, pages, filters, opening, backup.

    python -m benchmarks.scale --cases 10000
    python -m benchmarks.scale --cases 10000 100000 300000 1000000 --statistics

Cases are made in bulk, without images: labels, sex, age, view, source and day drawn from a seed,
and embeddings of 256 numbers that are sums of a direction for each finding and noise. Times are
medians as processor / wall milliseconds, each step in a fresh process, whose peak memory is given.
With `--database` the catalog is in an empty PostgreSQL database, one size at a time.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, text, update

from xemplar.api.search import CaseFilter, Search
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, FilterColumns, migrate, open_catalog
from xemplar.catalog.copying import copy_catalog
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import CaseRow, ChangeRow, EmbeddingRow, FindingRow
from xemplar.data.findings import NIH14, positives
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.index import LiveIndex, build, open_generation, publish
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import Architecture
from xemplar.retrieval.duplicates import StoredImages
from xemplar.retrieval.selection import Scope

Figures = dict[str, str]

CHECKPOINT = Checkpoint(
    Card(NIH14, PreprocessSpec(), Architecture(projection=256)), {}, digest="c" * 64
)
SIZE, GRID = 256, 7
ROWS = 2_048
"""Cases made and written at a time."""

BATCH = 16
"""Cases of one change, as of one batch of an index job."""

PREVALENCE = np.float32([10, 2.5, 4, 2, 12, 2, 1.5, 0.2, 18, 5, 5.5, 3, 1.3, 4.5]) / 100
"""Share of images with each finding of NIH ChestX-ray14, rounded."""

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = 2_000


def rows(count: int) -> Iterator[tuple[list[dict[str, Any]], ...]]:
    """Yield rows of cases, of findings and of embeddings, `ROWS` cases at a time."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(len(NIH14), SIZE)).astype(np.float32)
    for first in range(1, count + 1, ROWS):
        ids = range(first, min(first + ROWS, count + 1))
        present = random.random((len(ids), len(NIH14))) < PREVALENCE
        vectors = present @ directions + random.normal(size=(len(ids), SIZE)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        logits = (4 * present - 2 + random.normal(size=present.shape)).astype("<f4")
        cams = random.random((len(ids), len(NIH14), GRID, GRID), np.float32).astype("<f2")
        ages, days = random.integers(1, 96, len(ids)), random.integers(0, DAYS, len(ids))
        drawn = random.random((len(ids), 3))
        cases, findings, embeddings = [], [], []
        for row, number in enumerate(ids):
            labels = dict(zip(NIH14, present[row].astype(int).tolist(), strict=True))
            cases.append(
                {
                    "id": number,
                    "case_id": f"{number:016x}",
                    "image_sha256": f"{number:064x}",
                    "source": "nih14" if drawn[row, 0] < 0.8 else "ward",
                    "file": f"{number}.png",
                    "patient": f"{number // 3:016x}",
                    "view": "PA" if drawn[row, 1] < 0.6 else "AP",
                    "sex": "F" if drawn[row, 2] < 0.44 else "M",
                    "age": int(ages[row]),
                    "labels": labels,
                    "width": 1024,
                    "height": 1024,
                    "created_at": FIRST_DAY + timedelta(days=int(days[row])),
                }
            )
            findings += [{"case": number, "finding": finding} for finding in positives(labels)]
            embeddings.append(
                {
                    "case": number,
                    "checkpoint": CHECKPOINT.digest,
                    "vector": vectors[row].astype("<f4").tobytes(),
                    "logits": logits[row].tobytes(),
                    "cams": cams[row].tobytes(),
                    "change": 1 + number // BATCH,
                }
            )
        yield cases, findings, embeddings


def fill(url: str, cases: int, statistics: bool) -> Figures:
    """Make a catalog in bulk."""
    migrate(url)
    with open_catalog(url) as catalog:
        for tables in rows(cases):
            with writing(catalog.engine) as connection:
                for table, some in zip((CaseRow, FindingRow, EmbeddingRow), tables, strict=True):
                    connection.execute(insert(table), some)
        with writing(catalog.engine) as connection:
            connection.execute(update(ChangeRow).values(number=1 + cases // BATCH))
            if connection.dialect.name == "postgresql":
                sequence = "SELECT setval(pg_get_serial_sequence('cases', 'id'), :last)"
                connection.execute(text(sequence), {"last": cases})
            if statistics:
                connection.execute(text("ANALYZE"))
    return {}


def cost(task: Callable[[], object], repeat: int = 7) -> str:
    """Median processor and wall time of a call, in milliseconds."""
    cpu, wall = [], []
    for _ in range(repeat):
        began = time.process_time(), time.perf_counter()
        task()
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return f"{1000 * median(cpu):,.1f} / {1000 * median(wall):,.1f}"


def peak() -> str:
    """Peak memory of this process."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def reindex(url: str, root: Path) -> Figures:
    """Read embeddings as a reindex does, the first batch and all of them; build a generation."""
    store = Store(root)
    with open_catalog(url) as catalog:
        one = cost(lambda: next(catalog.vectors(CHECKPOINT.digest)), 3)
        whole = cost(lambda: sum(len(b.ids) for b in catalog.vectors(CHECKPOINT.digest)), 1)
        missing = cost(lambda: catalog.not_embedded(CHECKPOINT.digest), 1)
        publish(store, build(store, CHECKPOINT, lambda: catalog.vectors(CHECKPOINT.digest)).name)
    return {
        "reindex: all ids, first 1,024 cases": one,
        "reindex: read all": whole,
        "reindex: find cases to embed": missing,
        "reindex: peak memory": peak(),
    }


def use(url: str, root: Path, cases: int) -> Figures:
    """Open the generation, follow changes, list pages, resolve filters."""
    store = Store(root)
    with open_catalog(url) as catalog:
        opened: list[LiveIndex] = []

        def open_index() -> None:
            opened.append(LiveIndex.of(open_generation(store, CHECKPOINT), catalog))

        found = {
            "open": cost(open_index, 1),
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
    return found | {"open, list and filter: peak memory": peak()}


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
    vector = index.vector(int(index.ids[0]))
    for name in ("none", "sex"):
        resolved = scope(wanted[name])
        found[f"search: {name}"] = cost(lambda resolved=resolved: resolved.neighbours(vector), 3)
    against = Search(counter_examples=3)
    found["counter-examples, with their search"] = cost(
        lambda: scope(against).counter_examples(vector, "Effusion"), 3
    )
    return found


def backup(url: str, root: Path) -> Figures:
    """Copy the catalog as a backup does, into SQLite."""
    copy = Store(root / "copy")
    return {
        "backup: copy of the catalog": cost(lambda: copy_catalog(url, copy.database_url), 1),
        "backup: peak memory": peak(),
    }


def measure(cases: int, database: str | None, statistics: bool) -> Figures:
    """Make a catalog of one size and measure each step in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        url = database or Store(root).database_url
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as processes:
            found = processes.submit(fill, url, cases, statistics).result()
            for step, *more in ((reindex,), (use, cases), (backup,)):
                found |= processes.submit(step, url, root, *more).result()
    return found


def main() -> None:
    """Measure each size and print all of them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[10_000])
    parser.add_argument("--database", help="URL of an empty database; SQLite by default")
    parser.add_argument("--statistics", action="store_true", help="run ANALYZE after filling")
    arguments = parser.parse_args()
    if arguments.database and len(arguments.cases) > 1:
        parser.error("--database takes one size: the database must be empty")
    table = Table("processor / wall, ms", box=None)
    columns = []
    for cases in arguments.cases:
        table.add_column(f"{cases:,} cases", justify="right")
        columns.append(measure(cases, arguments.database, arguments.statistics))
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
