"""Time that reports add to a query: finding cases by words, and reading the reports shown.

A catalog of drawn cases gets a synthetic report for each, one of 2,000 distinct ones, on SQLite and
on PostgreSQL. Figures are medians in milliseconds, of the parts that a query without reports does
not have; the rest of a query is in docs/speed.md. Brute force reads the terms of all reports. The
processor's time is that of this process: with SQLite of all the work, with PostgreSQL of a part.

    python -m benchmarks.report_search --cases 100000
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from sqlalchemy import insert, select  # noqa: E402

from benchmarks.scale_cases import PREVALENCE  # noqa: E402
from tests.system.postgres import Postgres  # noqa: E402
from xemplar.catalog import Catalog, migrate, open_catalog  # noqa: E402
from xemplar.catalog.schema import reading, writing  # noqa: E402
from xemplar.catalog.tables import CaseRow, ReportRow  # noqa: E402
from xemplar.data.findings import NIH14  # noqa: E402
from xemplar.phantom.report import phantom_report  # noqa: E402
from xemplar.reports.report import StoredReport  # noqa: E402
from xemplar.reports.terms import terms_of, wanted  # noqa: E402
from xemplar.retrieval.words import WordRanking  # noqa: E402

TEXTS = ("left effusion with cardiomegaly", "effusion without pneumothorax", "hiatal hernia")
ROWS, DISTINCT = 2_000, 2_000
SHOWN = 5
TIMES = 15


def drawn_reports() -> list[dict[str, object]]:
    """Write the distinct reports, with findings about as frequent as in NIH ChestX-ray14."""
    rows = []
    for number, present in enumerate(np.random.default_rng(0).random((DISTINCT, len(NIH14)))):
        findings = [name for name, share in zip(NIH14, present < PREVALENCE, strict=True) if share]
        made = phantom_report(findings, number, typos=0)
        report = StoredReport(made.findings, made.impression)
        rows.append({**vars(report), "terms": terms_of(report), "mined": False})
    return rows


def fill(catalog: Catalog, cases: int) -> None:
    """Write cases without images, and one of the distinct reports beside each."""
    reports = drawn_reports()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for start in range(1, cases + 1, ROWS):
        ids = range(start, min(start + ROWS, cases + 1))
        with writing(catalog.engine) as connection:
            connection.execute(
                insert(CaseRow),
                [
                    {
                        "id": number,
                        "case_id": f"{number:016x}",
                        "image_sha256": f"{number:064x}",
                        "source": "drawn",
                        "labels": {},
                        "width": 1024,
                        "height": 1024,
                        "created_at": at,
                    }
                    for number in ids
                ],
            )
            rows = [{"case": number, **reports[number % DISTINCT]} for number in ids]
            connection.execute(insert(ReportRow), rows)


def brute_force(catalog: Catalog, terms: tuple[str, ...]) -> list[int]:
    """Find the cases that have all terms by reading all reports."""
    with reading(catalog.engine) as connection:
        rows = connection.execute(select(ReportRow.case, ReportRow.terms))
        return sorted(row.case for row in rows if {*terms} <= {*row.terms.split()})


def milliseconds(work: Callable[[], object]) -> str:
    """Median time of some work, and in parentheses the processor's."""
    wall, processor = [], []
    for _ in range(TIMES):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return f"{median(wall):.1f} ({median(processor):.1f})"


def measure(url: str, cases: int, table: Table) -> None:
    """Fill a catalog, compare with brute force, and add rows to a table."""
    migrate(url)
    with open_catalog(url) as catalog:
        fill(catalog, cases)
        kind = catalog.engine.dialect.name
        some = np.random.default_rng(0).integers(1, cases, SHOWN).tolist()
        shown = milliseconds(lambda: catalog.reports.of(some))
        table.add_row(kind, f"read the {SHOWN} reports shown", "", shown, "")
        for text in TEXTS:
            terms = wanted(text).terms
            found = catalog.reports.saying(terms)
            began = time.perf_counter()
            assert found.tolist() == brute_force(catalog, terms), text
            slow = (time.perf_counter() - began) * 1000
            quick = milliseconds(lambda terms=terms: catalog.reports.saying(terms))
            ranked = milliseconds(lambda text=text: WordRanking.of(catalog, text, cases))
            counted = f"{len(found):,}"
            table.add_row(kind, f"filter: {text}", counted, quick, f"{slow:,.0f}")
            table.add_row(kind, f"rank: {text}", "", ranked, "")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--sqlite", action="store_true", help="leave PostgreSQL out")
    options = parser.parse_args()
    table = Table("database", "work", "cases found", "ms (processor)", "brute force, ms")
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'catalog.sqlite'}", options.cases, table)
        if not options.sqlite:
            with Postgres() as server:
                measure(server.create("reports"), options.cases, table)
    Console().print(table)


if __name__ == "__main__":
    main()
