"""Measures the recall of inverted lists under filters, and chooses their search effort."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xemplar.index.exact import Matrix, Rows, nearest, ranked
from xemplar.index.inverted import InvertedFile
from xemplar.index.manifest import Probe

K = 10
QUERIES = 128
ENOUGH = 0.99
"""Recall above which searching more inverted lists is not worth the time."""

FEW = 65_536
"""Matching cases up to which all are compared; the lists that they need take longer to visit."""


def measure_probes(
    inverted: InvertedFile, vectors: Matrix, logits: npt.NDArray[np.float32], seed: int = 0
) -> tuple[Probe, ...]:
    """Choose the fewest inverted lists that reach `ENOUGH` recall, by the share a filter keeps.

    A filter by chance spreads its cases over all lists. One by a finding gathers them in some, and
    is hardest for queries that it excludes. So cases with the highest and with the lowest logits of
    a finding are searched, too, with queries of the opposite; what is said of a share is the lowest
    recall of the three.

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
    for number, share in enumerate(_shares(len(vectors))):
        finding = logits[:, number % logits.shape[1]]
        recall = 1.0
        for allowed, others in _filters(finding, share, rng):
            own = rng.choice(others, min(QUERIES, len(others)), replace=False)
            truth = nearest(vectors, vectors[own], K + 1, allowed)
            nprobe, found = _enough(inverted, vectors, own, truth, allowed, nprobe)
            recall = min(recall, found)
        probes.append(Probe(share, nprobe, recall))
    return tuple(probes)


def _shares(count: int) -> list[float]:
    shares = [1.0]
    while count * shares[-1] > 4 * FEW:
        shares.append(shares[-1] / 2)
    return [*shares, FEW / count] if count > FEW else shares


def _filters(
    finding: npt.NDArray[np.float32], share: float, rng: np.random.Generator
) -> Iterator[tuple[Rows | None, Rows]]:
    """Yield the rows that each filter keeps, ascending, None for all; and rows of queries."""
    everything, kept = np.arange(len(finding)), round(share * len(finding))
    if kept == len(finding):
        yield None, everything
        return
    yield np.sort(rng.choice(everything, kept, replace=False)), everything
    order, ends = np.argsort(finding), max(1, len(finding) // 20)
    yield np.sort(order[:kept]), order[-ends:]
    yield np.sort(order[-kept:]), order[:ends]


def _enough(
    inverted: InvertedFile,
    vectors: Matrix,
    own: Rows,
    truth: Rows,
    allowed: Rows | None,
    nprobe: int,
) -> tuple[int, float]:
    """Find the fewest lists, at least ``nprobe``, that reach `ENOUGH` recall, and that recall."""
    mask = None
    if allowed is not None:
        mask = np.zeros(len(vectors), bool)
        mask[allowed] = True
    while True:
        rows = inverted.candidates(vectors[own], K + 1, nprobe, mask)
        found = [
            ranked(vectors, some[some >= 0], vectors[query], K + 1)[0]
            for query, some in zip(own, rows, strict=True)
        ]
        recall = recall_of(own, truth, found)
        if recall >= ENOUGH or nprobe >= inverted.lists:
            return nprobe, recall
        nprobe = min(nprobe + max(1, nprobe // 5), inverted.lists)


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
