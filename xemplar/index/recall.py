"""Measures the recall of an approximate index and chooses its search effort."""

from collections.abc import Callable, Iterable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

K = 10
QUERIES = 256
ENOUGH = 0.99
"""Recall above which searching more inverted lists is not worth the time."""


def inverted_lists(index: Any) -> Any | None:
    """Return the inverted file within a FAISS index, or None."""
    return faiss.try_extract_index_ivf(index)


def sample_of(
    source: Callable[[], Iterable[Any]], size: int, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Draw a uniform sample of up to ``size`` cases from a stream of unknown length.

    Reservoir sampling: Vitter, ACM TOMS 11(1), 1985, algorithm R.

    Returns:
        ids int64 (n,), vectors float32 (n, C).
    """
    rng = np.random.default_rng(seed)
    ids: list[npt.NDArray[np.int64]] = []
    rows: list[npt.NDArray[np.float32]] = []
    seen = 0
    for batch in source():
        for number, row in zip(batch.ids, batch.vectors, strict=True):
            seen += 1
            if len(rows) < size:
                ids.append(number)
                rows.append(row.copy())
            elif (slot := int(rng.integers(seen))) < size:
                ids[slot], rows[slot] = number, row.copy()
    return np.array(ids, np.int64), np.array(rows, np.float32)


def choose_nprobe(index: Any, source: Callable[[], Iterable[Any]]) -> tuple[int, float]:
    """Choose the fewest inverted lists (a power of two) that reach `ENOUGH` recall.

    Returns:
        ``(nprobe, recall at 10)``; nprobe is 0 if the index has no inverted lists.
    """
    ids, queries = sample_of(source, QUERIES)
    truth = _exact(source, ids, queries)
    lists = inverted_lists(index)
    if lists is None:
        return 0, _recall(index, None, ids, queries, truth)
    nprobe, recall = 1, 0.0
    while True:
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        recall = _recall(index, parameters, ids, queries, truth)
        if recall >= ENOUGH or nprobe >= lists.nlist:
            return nprobe, recall
        nprobe = min(2 * nprobe, lists.nlist)


def _exact(
    source: Callable[[], Iterable[Any]],
    ids: npt.NDArray[np.int64],
    queries: npt.NDArray[np.float32],
) -> npt.NDArray[np.int64]:
    """Return the ids of each query's nearest cases without itself, int64 (queries, up to K)."""
    best = np.empty((len(queries), 0), np.float32)
    best_ids = np.empty((len(queries), 0), np.int64)
    for batch in source():
        similarity = queries @ batch.vectors.T
        similarity[ids[:, None] == batch.ids] = -np.inf
        best = np.hstack([best, similarity])
        best_ids = np.hstack([best_ids, np.broadcast_to(batch.ids, similarity.shape)])
        order = np.argsort(-best, axis=1, kind="stable")[:, :K]
        best = np.take_along_axis(best, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
    return np.where(np.isfinite(best), best_ids, -1)


def _recall(
    index: Any,
    parameters: Any | None,
    ids: npt.NDArray[np.int64],
    queries: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
) -> float:
    """Return the fraction of exact neighbours that the index finds, without the query itself."""
    _, found = index.search(queries, min(K + 1, index.ntotal), params=parameters)
    hits = wanted = 0
    for own, exact, answer in zip(ids, truth, found, strict=True):
        others = [number for number in answer if number not in (own, -1)][:K]
        expected = exact[exact >= 0]
        wanted += len(expected)
        hits += len(np.intersect1d(expected, others))
    return hits / wanted if wanted else 1.0
