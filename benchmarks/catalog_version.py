"""Cost of `Catalog.version`, which a service asks each second for changes of its cases.

On catalogs in SQLite of several sizes, beside `SELECT 1` over the same connection pool, and beside
what follows when something has changed: asking which cases came since. `all ids` is what opening a
generation asks for once.

    python -m benchmarks.catalog_version
    python -m benchmarks.catalog_version --cases 100000 1000000 --repeat 200
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text

from xemplar.catalog import Catalog, migrate, open_catalog
from xemplar.catalog.schema import reading, writing

CHECKPOINT = "c" * 64


def fill(catalog: Catalog, cases: int) -> None:
    """Cases with embeddings, and one removal for every hundred.

    The arrays are small: what is measured here reads none of them.
    """
    statements = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
        "INSERT INTO cases (id, case_id, image_sha256, source, labels, width, height, created_at) "
        "SELECT i, printf('%016x', i), printf('%064x', i), 'drawn', '{}', 1, 1, "
        "'2026-01-01 00:00:00.000000' FROM n",
        'INSERT INTO embeddings ("case", checkpoint, vector, logits, cams, change) '
        "SELECT id, :checkpoint, zeroblob(16), zeroblob(16), zeroblob(16), id FROM cases",
        'INSERT INTO removals ("case", removed_at, change) '
        "SELECT id + :count, created_at, id FROM cases WHERE id % 100 = 0",
        "UPDATE last_change SET number = :count",
    )
    with writing(catalog.engine) as connection:
        for statement in statements:
            connection.execute(text(statement), {"count": cases, "checkpoint": CHECKPOINT})


def milliseconds(task: Callable[[], object], repeat: int) -> float:
    """Median time of one call."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        task()
        times.append((time.perf_counter() - began) * 1000)
    return median(times)


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=100)
    arguments = parser.parse_args()
    table = Table(box=None)
    for title in ("cases", "SELECT 1, ms", "version, ms", "ratio", "since, ms", "all ids, ms"):
        table.add_column(title, justify="right")
    for cases in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'catalog.sqlite'}"
            migrate(url)
            with open_catalog(url) as catalog:
                fill(catalog, cases)

                def nothing(catalog: Catalog = catalog) -> None:
                    with reading(catalog.engine) as connection:
                        connection.execute(select(1)).one()

                def since(catalog: Catalog = catalog, last: int = cases - 1) -> object:
                    return catalog.embedded_ids(CHECKPOINT, last), catalog.removed(last)

                def ids(catalog: Catalog = catalog) -> object:
                    return catalog.embedded_ids(CHECKPOINT)

                one, asked, later = (
                    milliseconds(task, arguments.repeat)
                    for task in (nothing, catalog.version, since)
                )
                every = milliseconds(ids, max(arguments.repeat // 20, 1))
        figures = (f"{one:.3f}", f"{asked:.3f}", f"{asked / one:.1f}", f"{later:.3f}")
        table.add_row(f"{cases:,}", *figures, f"{every:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
