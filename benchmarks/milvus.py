"""Cost of an index in Milvus beside one of files: build, open, search, filters, switch.

    make engines    # once, for the server
    unshare --map-root-user --net sh -c 'ip link set lo up; python -m benchmarks.milvus'

Starts a real Milvus server, and needs a network namespace of its own for that. Cases are those of
`benchmarks.scale`. Times are wall milliseconds (the server's work is in another process), medians;
searches are of the ten nearest.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scale import CHECKPOINT, fill
from tests.system.milvus import Milvus
from xemplar.api.search import CaseFilter
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, open_catalog
from xemplar.index import LiveIndex, build, generations, open_generation, publish
from xemplar.index.milvus.columns import in_list
from xemplar.index.milvus.generation import MilvusGeneration

K, REPEAT = 10, 9
FILTERS = {
    "no filter": CaseFilter(),
    "sex F": CaseFilter(sex="F"),
    "no Effusion": CaseFilter(none_of=("Effusion",)),
    "Mass": CaseFilter(any_of=("Mass",)),
    "Hernia": CaseFilter(any_of=("Hernia",)),
    "Hernia, F, over 80": CaseFilter(any_of=("Hernia",), sex="F", age_min=80),
}
LISTED = (256, 1_024, 4_096, 16_384)


def wall(task: Callable[[], object], repeat: int = REPEAT) -> str:
    """Median wall time of a call, in milliseconds."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        task()
        times.append(time.perf_counter() - began)
    return f"{1000 * median(times):,.1f}"


def figures(store: Store, catalog: Catalog) -> dict[str, str]:
    """Build, open and search an index of all cases."""
    source = partial(catalog.vectors, CHECKPOINT.digest)
    make = partial(build, store, CHECKPOINT, source, catalog=catalog)
    found = {"build": wall(make, 1)}
    first, second = (one.name for one in (*generations(store), make()))
    publish(store, first)
    opening = partial(open_generation, store, CHECKPOINT, catalog=catalog)
    live = LiveIndex.of(opening(), catalog)
    found |= {"index": live.manifest.factory, "open": wall(opening, 3)}
    some = catalog.embedded_ids(CHECKPOINT.digest)[:REPEAT]
    queries = np.concatenate([b.vectors for b in catalog.vectors_of(CHECKPOINT.digest, some)])
    for name, wanted in FILTERS.items():
        mask, condition = live.matching(catalog, wanted), live.condition(catalog, wanted)
        among = None if mask.all() else live.ids[mask]
        search = partial(live.search, k=K, among=among, condition=condition)
        found[f"search: {name} ({mask.mean():.1%})"] = wall(partial(next, map(search, queries)))
    found["switch to one that is not loaded"] = wall(partial(publish, store, second), 1)
    found["switch back"] = wall(partial(publish, store, first), 1)
    generation = live.generation
    if isinstance(generation, MilvusGeneration):
        for count in LISTED:
            within = in_list(live.ids[:count].tolist())
            found[f"search among {min(count, len(live)):,} cases in an expression"] = wall(
                partial(generation._collection.search, queries[0], K, within)
            )
    return found


def main() -> None:
    """Measure an index of files and one in Milvus; print a table for each number of cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, nargs="+", default=[10_000])
    with Milvus() as server:
        for cases in parser.parse_args().cases:
            with tempfile.TemporaryDirectory(prefix="xemplar-milvus-") as folder:
                files = Store(Path(folder))
                fill(files.database_url, cases, statistics=False)
                with open_catalog(files.database_url) as catalog:
                    there = figures(replace(files, index_url=server.create()), catalog)
                    here = figures(files, catalog)
            table = Table("", "files", "Milvus", title=f"{cases:,} cases, wall ms")
            for name, figure in there.items():
                table.add_row(name, here.get(name, ""), figure)
            Console().print(table)


if __name__ == "__main__":
    main()
