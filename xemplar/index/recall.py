"""Measures the recall of inverted lists under filters, and chooses their search effort."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.index.exact import Mask, Matrix, Rows, nearest, ranked
from xemplar.index.inverted import InvertedFile
from xemplar.index.manifest import Probe

K = 10
QUERIES = 128
ENOUGH = 0.99
"""Recall above which searching more inverted lists is not worth the time."""

FEW = 16_384
"""Matching cases up to which all are compared; the lists that they need take longer to visit."""

EACH = 16
"""Queries of each filter by a finding."""


class Trial(NamedTuple):
    """A filter, and queries whose nearest cases are known.

    Attributes:
        allowed: rows that the filter keeps, bool (n,); None for all.
        own: rows of the queries, int64 (queries,).
        truth: the nearest rows of each that the filter keeps, int64 (queries, K + 1), best first,
            -1 where there are fewer.
    """

    allowed: Mask | None
    own: Rows
    truth: Rows


def measure_probes(
    inverted: InvertedFile, vectors: Matrix, logits: npt.NDArray[np.float32], seed: int = 0
) -> tuple[Probe, ...]:
    """Choose the fewest inverted lists that reach `ENOUGH` recall, by the share a filter keeps.

    A filter by chance spreads its cases over all lists. One by a finding gathers them in some, and
    is hardest for queries that it excludes. So the cases with the highest logits of each finding
    are searched, too, and those with the lowest, with queries of the opposite. What is said of a
    share is the lowest recall of the three kinds.

    Args:
        inverted: lists of the vectors.
        vectors: float32 (n, C).
        logits: float32 (n, F).
        seed: of queries and filters.

    Returns:
        For the shares 1, 1/2, 1/4 and so on, down to `FEW` cases.
    """
    rng = np.random.default_rng(seed)
    probes, nprobe = [], 1
    for share in _shares(len(vectors)):
        recall = 1.0
        for trials in _kinds(vectors, logits, share, rng):
            nprobe, found = _enough(inverted, vectors, trials, nprobe)
            recall = min(recall, found)
        probes.append(Probe(share, nprobe, recall))
    return tuple(probes)


def _shares(count: int) -> list[float]:
    shares = [1.0]
    while count * shares[-1] > 4 * FEW:
        shares.append(shares[-1] / 2)
    return [*shares, FEW / count] if count > FEW else shares


def _kinds(
    vectors: Matrix, logits: npt.NDArray[np.float32], share: float, rng: np.random.Generator
) -> Iterator[list[Trial]]:
    """Yield trials of one kind of filter after another."""
    count = len(vectors)
    kept, ends = round(share * count), max(1, count // 20)
    own = rng.choice(count, min(QUERIES, count), replace=False)
    if kept == count:
        yield [Trial(None, own, nearest(vectors, vectors[own], K + 1))]
        return
    yield [_trial(vectors, own, rng.choice(count, kept, replace=False))]
    for direction in (1, -1):
        orders = (np.argsort(direction * finding) for finding in logits.T)
        yield [
            _trial(vectors, rng.choice(order[-ends:], min(EACH, ends), False), order[:kept])
            for order in orders
        ]


def _trial(vectors: Matrix, own: Rows, allowed: Rows) -> Trial:
    mask = np.zeros(len(vectors), bool)
    mask[allowed] = True
    return Trial(mask, own, nearest(vectors, vectors[own], K + 1, np.flatnonzero(mask)))


def _enough(
    inverted: InvertedFile, vectors: Matrix, trials: list[Trial], nprobe: int
) -> tuple[int, float]:
    """Find the fewest lists, at least ``nprobe``, that reach `ENOUGH` recall, and that recall."""
    while True:
        recall = float(np.mean([_recall(inverted, vectors, trial, nprobe) for trial in trials]))
        if recall >= ENOUGH or nprobe >= inverted.lists:
            return nprobe, recall
        nprobe = min(nprobe + max(1, nprobe // 10), inverted.lists)


def _recall(inverted: InvertedFile, vectors: Matrix, trial: Trial, nprobe: int) -> float:
    rows = inverted.candidates(vectors[trial.own], K + 1, nprobe, trial.allowed)
    found = [
        ranked(vectors, some[some >= 0], vectors[query], K + 1)[0]
        for query, some in zip(trial.own, rows, strict=True)
    ]
    return recall_of(trial.own, trial.truth, found)


def recall_of(own: Rows, truth: Rows, found: list[Rows]) -> float:
    """Return the fraction of the K nearest that were found, without the query itself.

    Args:
        own: each query's own row, int64 (queries,).
        truth: the nearest rows, int64 (queries, K + 1), best first, -1 where there are fewer.
        found: rows found for each query, best first.
    """
    hits = wanted = 0
    for query, exact, answer in zip(own, truth, found, strict=True):
        expected = exact[(exact >= 0) & (exact != query)][:K]
        wanted += len(expected)
        hits += len(np.intersect1d(expected, answer[answer != query][:K]))
    return hits / wanted if wanted else 1.0
