"""Processor time of a whole query, with reports and without, by SQLite and by PostgreSQL.

A store of drawn cases without pictures (`benchmarks.scale_cases`) answers new images, from their
bytes to the answer's JSON, by two catalogs of the same cases: one without any report, and one with
a report beside each case, one of 2,000 distinct ones. All kinds of query take turns, so that other
work on the machine meets them alike. Figures are medians over the rounds of the processor's time of
this process and of the database's together; and of the time on the clock. Cases found by words are
compared with brute force, which reads the terms of all reports.

    python -m benchmarks.report_search --cases 100000
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from sqlalchemy import insert, select, text  # noqa: E402
from xemplar_app.wire import answer_out, words_answer_out  # noqa: E402

from benchmarks.scale_cases import PREVALENCE, fill  # noqa: E402
from tests.images import encoded  # noqa: E402
from tests.system.postgres import Postgres  # noqa: E402
from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.catalog import CaseReports, Catalog, open_catalog  # noqa: E402
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


def costs(
    works: Mapping[str, Callable[[bytes], object]],
    images: list[bytes],
    rounds: int,
    server: Path | None,
) -> Mapping[str, Cost]:
    """Measure some kinds of work in turn, each on all images in each round.

    A database's processor time is told in hundredths of a second, so it is the mean over a round.
    """
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in works}
    for work in works.values():  # terms asked before are in memory from here on
        work(images[0])
    for _ in range(rounds):
        for name, work in works.items():
            used = processor_seconds(server)
            for image in images:
                began = time.perf_counter()
                work(image)
                found[name][1].append((time.perf_counter() - began) * 1000)
            found[name][0].append((processor_seconds(server) - used) * 1000 / len(images))
    return {name: Cost(median(used), median(wall)) for name, (used, wall) in found.items()}


def measure(
    url: str, copy: Callable[[], str], root: Path, cases: int, rounds: int, server: Path | None
) -> Mapping[str, Cost]:
    """Fill a catalog, build its index, copy it, add reports to the copy, and measure queries.

    Args:
        url: of an empty database.
        copy: copies it, and returns the copy's URL.
        root: of the store.
        cases: number of cases.
        rounds: over all images.
        server: folder that the database's processes work in; None if there are none.
    """
    checkpoint = load(default_checkpoint())
    store = Store(root)
    fill(url, cases, statistics=True, checkpoint=checkpoint)
    with open_catalog(url) as catalog:
        publish(store, build(store, checkpoint, lambda: catalog.vectors(checkpoint.digest)).name)
        catalog.truncate_log()  # a copy of an SQLite file has then all
    reported = copy()
    with open_catalog(reported) as catalog:
        add_reports(catalog, cases)
        if server is not None:  # else the server would do it meanwhile
            with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as one:
                one.execute(text("VACUUM (ANALYZE) case_reports"))
    images = [encoded(phantom(n, size=SIDE).pixels) for n in range(IMAGES)]
    with (
        closing(Retriever.open(default_checkpoint(), store, url)) as bare,
        closing(Retriever.open(default_checkpoint(), store, reported)) as retriever,
    ):
        works = queries(bare, retriever)
        found = dict(costs(works, images, rounds, server))
        ids = iter(range(1, cases))

        def remove(_: bytes) -> int:
            return retriever.catalog.remove([f"{next(ids):016x}"])

        found |= costs({"remove one case with its report": remove}, images, rounds, server)
    return found


def queries(bare: Retriever, retriever: Retriever) -> Mapping[str, Callable[[bytes], object]]:
    """List the kinds of query, after a comparison of what they find with brute force."""

    def query(of: Retriever = retriever, **search: str) -> Callable[[bytes], object]:
        return lambda data: answer_out(of.ask(data, Search(**search))).model_dump_json()

    def by_words(text: str) -> Callable[[bytes], object]:
        asked = Search(text=text)
        return lambda _: words_answer_out(retriever.ask_words(asked)).model_dump_json()

    def anew(terms: tuple[str, ...]) -> Callable[[bytes], object]:
        return lambda _: CaseReports(retriever.catalog.engine).saying_each(terms)

    works = {"query, no reports": query(bare), "query": query()}
    for words in TEXTS:
        terms = wanted(words).terms
        said = retriever.catalog.reports.saying(terms).tolist()
        assert said == brute_force(retriever.catalog, terms), words
        works[f"query, says={words} ({len(said):,})"] = query(says=words)
        works[f"query, text={words}"] = query(text=words)
        works[f"words alone, text={words}"] = by_words(words)
        works[f"more if asked for the first time: {words}"] = anew(terms)
    return works


def main() -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help=f"of {IMAGES} images")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database")
    options = parser.parse_args()
    sizes = options.cases, options.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "postgresql":
            bare, copied = folder / "bare.sqlite", folder / "reported.sqlite"

            def copy_file() -> str:
                shutil.copyfile(bare, copied)
                return f"sqlite:///{copied}"

            found = measure(f"sqlite:///{bare}", copy_file, folder / "sqlite", *sizes, None)
            show("SQLite", found)
        if options.only != "sqlite":
            with Postgres() as server:
                url, root = server.create("bare"), folder / "postgresql"
                copy = partial(server.create, "reported", "bare")
                show("PostgreSQL", measure(url, copy, root, *sizes, server.folder))


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
