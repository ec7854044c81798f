"""Measures the CPU time to count findings and outcomes in the cases that match, in drawn columns.

    python -m benchmarks.prevalence --cases 1000000

No data set and no store are needed.
"""

import argparse
import statistics
import time

import numpy as np

from xemplar.api import CaseFilter
from xemplar.catalog.columns import OUTCOMES, FilterColumns, _Names
from xemplar.data.findings import NIH14, NO_FINDING

REPEATS = 9
VERIFIED = 0.1
"""Share of cases with an outcome."""


def main() -> None:
    """Print the median time for all cases, and for those of one sex."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[2_215, 100_000, 1_000_000])
    for count in parser.parse_args().cases:
        columns = drawn_columns(count)
        for name, wanted in (("all cases", CaseFilter()), ("one sex", CaseFilter(sex="F"))):
            mask = columns.mask(wanted)
            times = []
            for _ in range(REPEATS):
                began = time.thread_time()
                columns.tally(mask)
                times.append(time.thread_time() - began)
            print(
                f"{count:,} cases, {name}: {statistics.median(times) * 1000:.1f} ms of a processor"
            )


def drawn_columns(count: int, seed: int = 0) -> FilterColumns:
    """Draw the columns of cases with NIH's findings, each present, absent or neither."""
    rng, names = np.random.default_rng(seed), _Names()
    names.findings.of([*NIH14, NO_FINDING])
    names.sexes.of(["F", "M"])
    present = rng.integers(0, 1 << (len(NIH14) + 1), (1, count))
    outcome = 1 << rng.integers(0, len(OUTCOMES), count)
    columns = {
        "there": np.ones(count, bool),
        "sex": rng.integers(0, 2, count).astype(np.int8),
        "present": present.astype(np.uint32),
        "absent": (~present & rng.integers(0, 1 << len(NIH14), (1, count))).astype(np.uint32),
        "outcomes": np.where(rng.random(count) < VERIFIED, outcome, 0).astype(np.uint32),
    }
    return FilterColumns(np.arange(count), 0, columns, names)


if __name__ == "__main__":
    main()
