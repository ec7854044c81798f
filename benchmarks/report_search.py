"""Processor time of a whole query, with reports and without, by SQLite and by PostgreSQL.

A store of drawn cases without pictures (`benchmarks.scale_cases`) answers new images, from their
bytes to the answer's JSON: first without any report, then with one beside each case, one of 2,000
distinct ones. Figures are medians of the processor's time of this process and of the database's
together, so that other work on the machine hardly matters; and of the time on the clock. Cases
found by words are compared with brute force, which reads the terms of all reports.

    python -m benchmarks.report_search --cases 100000
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from sqlalchemy import insert, select  # noqa: E402
from xemplar_app.wire import answer_out, words_answer_out  # noqa: E402

from benchmarks.scale_cases import PREVALENCE, fill  # noqa: E402
from tests.images import encoded  # noqa: E402
from tests.system.postgres import Postgres  # noqa: E402
from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.catalog import Catalog, open_catalog  # noqa: E402
from xemplar.catalog.schema import reading, writing  # noqa: E402
from xemplar.catalog.tables import ReportRow  # noqa: E402
from xemplar.data.findings import NIH14  # noqa: E402
from xemplar.index import build, publish  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint, load  # noqa: E402
from xemplar.phantom.radiograph import phantom  # noqa: E402
from xemplar.phantom.report import phantom_report  # noqa: E402
from xemplar.reports.report import StoredReport  # noqa: E402
from xemplar.reports.terms import terms_of, wanted  # noqa: E402
from xemplar.retrieval.retriever import Retriever  # noqa: E402

TEXTS = ("left effusion with cardiomegaly", "effusion without pneumothorax", "hiatal hernia")
ROWS, DISTINCT = 2_000, 2_000
IMAGES, SIDE = 8, 1024
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of some work: the processor's, and the clock's."""

    processor: float
    wall: float


def drawn_reports() -> list[dict[str, object]]:
    """Write the distinct reports, with findings about as frequent as in NIH ChestX-ray14."""
    rows = []
    for number, present in enumerate(np.random.default_rng(0).random((DISTINCT, len(NIH14)))):
        findings = [name for name, share in zip(NIH14, present < PREVALENCE, strict=True) if share]
        made = phantom_report(findings, number, typos=0)
        report = StoredReport(made.findings, made.impression)
        rows.append({**vars(report), "terms": terms_of(report), "mined": False})
    return rows


def add_reports(catalog: Catalog, cases: int) -> None:
    """Write one of the distinct reports beside each case."""
    reports = drawn_reports()
    for start in range(1, cases + 1, ROWS):
        ids = range(start, min(start + ROWS, cases + 1))
        with writing(catalog.engine) as connection:
            rows = [{"case": number, **reports[number % DISTINCT]} for number in ids]
            connection.execute(insert(ReportRow), rows)


def brute_force(catalog: Catalog, terms: tuple[str, ...]) -> list[int]:
    """Find the cases that have all terms by reading all reports."""
    with reading(catalog.engine) as connection:
        rows = connection.execute(select(ReportRow.case, ReportRow.terms))
        return sorted(row.case for row in rows if {*terms} <= {*row.terms.split()})


def processor_seconds(folder: Path | None) -> float:
    """Processor time so far of this process, and of the processes that work in a folder."""
    seconds = time.process_time()
    for process in Path("/proc").glob("[0-9]*") if folder else ():
        try:
            if (process / "cwd").resolve().is_relative_to(folder or "/"):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                seconds += (int(fields[11]) + int(fields[12])) / TICK
        except OSError:  # it has ended
            continue
    return seconds


def cost(work: Callable[[bytes], object], images: list[bytes], server: Path | None) -> Cost:
    """Measure some work on each of the images, in turn.

    A database's processor time is told in hundredths of a second, so it is the mean over all.
    """
    work(images[0])
    wall, own, before = [], [], processor_seconds(server) - time.process_time()
    for image in images:
        began, used = time.perf_counter(), time.process_time()
        work(image)
        wall.append((time.perf_counter() - began) * 1000)
        own.append((time.process_time() - used) * 1000)
    database = (processor_seconds(server) - time.process_time() - before) * 1000 / len(images)
    return Cost(median(own) + database, median(wall))


def measure(
    url: str, root: Path, cases: int, rounds: int, server: Path | None
) -> Mapping[str, Cost]:
    """Fill a catalog, build its index, and measure queries before it has reports, and with them."""
    checkpoint = load(default_checkpoint())
    store = Store(root)
    fill(url, cases, statistics=True, checkpoint=checkpoint)
    with open_catalog(url) as catalog:
        publish(store, build(store, checkpoint, lambda: catalog.vectors(checkpoint.digest)).name)
    images = [encoded(phantom(n, size=SIDE).pixels) for n in range(IMAGES)] * rounds
    with closing(Retriever.open(default_checkpoint(), store, url)) as retriever:

        def query(**search: str) -> Callable[[bytes], object]:
            return lambda data: answer_out(retriever.ask(data, Search(**search))).model_dump_json()

        def by_words(text: str) -> Callable[[bytes], object]:
            asked = Search(text=text)
            return lambda _: words_answer_out(retriever.ask_words(asked)).model_dump_json()

        found = {"query, no reports": cost(query(), images, server)}
        add_reports(retriever.catalog, cases)
        found["query"] = cost(query(), images, server)
        for text in TEXTS:
            terms = wanted(text).terms
            said = retriever.catalog.reports.saying(terms).tolist()
            assert said == brute_force(retriever.catalog, terms), text
            found[f"query, says={text} ({len(said):,})"] = cost(query(says=text), images, server)
            found[f"query, text={text}"] = cost(query(text=text), images, server)
            found[f"words alone, text={text}"] = cost(by_words(text), images, server)
        ids = iter(range(1, cases))
        removal = cost(lambda _: retriever.catalog.remove([f"{next(ids):016x}"]), images, server)
        found["remove one case with its report"] = removal
    return found


def main() -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help=f"of {IMAGES} images")
    parser.add_argument("--sqlite", action="store_true", help="leave PostgreSQL out")
    options = parser.parse_args()
    sizes = options.cases, options.rounds
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'catalog.sqlite'}"
        show("SQLite", measure(url, Path(folder) / "sqlite", *sizes, None))
        if not options.sqlite:
            with Postgres() as server:
                url, root = server.create("reports"), Path(folder) / "postgresql"
                show("PostgreSQL", measure(url, root, *sizes, server.folder))


def show(database: str, found: Mapping[str, Cost]) -> None:
    """Print the figures of one database."""
    table = Table("work", "processor, ms", "to a query without reports", "wall, ms", title=database)
    base = found["query, no reports"].processor
    for name, one in found.items():
        ratio = f"{one.processor / base:.2f}" if name.startswith("query") else ""
        table.add_row(name, f"{one.processor:.1f}", ratio, f"{one.wall:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
