"""Exact search: inner products with every row, of memory-mapped vectors too."""

import faiss
import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]

BLOCK = 16_384
"""Rows that are copied or widened to float64 at a time."""

UNIT_ROUNDOFF = float(np.finfo(np.float32).eps) / 2


def cosines(vectors: Matrix, vector: Matrix) -> npt.NDArray[np.float32]:
    """Return cosines, float32 (n,) in [-1, 1], of unit vectors (n, C) with a unit vector (C,).

    Sums in float64, row by row, so that a pair's result does not depend on the other rows.
    """
    products = vectors.astype(np.float64) * vector
    clipped: npt.NDArray[np.float32] = np.clip(products.sum(axis=1), -1, 1).astype(np.float32)
    return clipped


def within(some: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return a mask of the ids contained in ``ids``, which are ascending and may be many."""
    if not len(ids):
        return np.zeros(len(some), bool)
    found: npt.NDArray[np.bool_] = ids[np.minimum(np.searchsorted(ids, some), len(ids) - 1)] == some
    return found


def rows_of(some: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return the rows in ``ids``, which are ascending, of those of some that are among them."""
    rows = np.searchsorted(ids, some)
    return rows[np.searchsorted(ids, some, "right") > rows]


def margin(dimension: int) -> float:
    """Return how far two cosines in float32 may be in the wrong order.

    A float32 sum of n products of unit vectors is within n u of the true one, u the unit roundoff,
    in whatever order it is summed: Higham, Accuracy and Stability of Numerical Algorithms, 2002,
    section 3.1, with the Cauchy-Schwarz inequality.
    """
    return 2 * dimension * UNIT_ROUNDOFF


def candidates(vectors: Matrix, vector: Matrix, k: int, allowed: Mask | None = None) -> Rows:
    """Find rows among which the k most similar ones are, with all that may tie with them.

    Args:
        vectors: float32 (n, C), unit length.
        vector: float32 (C,), unit length.
        k: at least 1, at most the number of allowed rows.
        allowed: bool (n,), the rows to consider; None for all.

    Returns:
        int64 (m,), ascending, m >= k.
    """
    if allowed is None:
        rows, rough = None, vectors @ vector
    else:
        rows = np.flatnonzero(allowed)
        rough = _products(vectors, vector, rows)
    least = np.partition(rough, -k)[-k] - margin(len(vector))
    near: Rows = np.flatnonzero(rough >= least)
    return near if rows is None else rows[near]


def ranked(
    vectors: Matrix, rows: Rows, vector: Matrix, k: int
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Return the best k of some rows and their cosines, best first; ties in order of rows."""
    if len(rows) > k:  # few are compared in float64
        rough = _products(vectors, vector, rows)
        rows = rows[rough >= np.partition(rough, -k)[-k] - margin(len(vector))]
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        scores[some] = cosines(vectors[rows[some]], vector)
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def _products(vectors: Matrix, vector: Matrix, rows: Rows) -> npt.NDArray[np.float32]:
    """Return inner products with some rows, float32 (n,).

    Each row is read where it is: copying them first takes more than twice the time.
    """
    found, numbers = np.empty(len(rows), np.float32), np.ascontiguousarray(rows, np.int64)
    pointers = map(faiss.swig_ptr, (found, vector, vectors, numbers))
    faiss.fvec_inner_products_by_idx(*pointers, len(vector), 1, len(rows))
    return found


def nearest(vectors: Matrix, queries: Matrix, k: int, allowed: Rows | None = None) -> Rows:
    """Find the k nearest rows of each query in float32, int64 (queries, k), -1 where fewer are.

    Args:
        vectors: float32 (n, C).
        queries: float32 (queries, C).
        k: at least 1.
        allowed: rows to consider, int64 (m,); None for all.
    """
    heap = faiss.ResultHeap(len(queries), k, keep_max=True)
    if allowed is None:
        heap.add_result(*faiss.knn(queries, vectors, k, faiss.METRIC_INNER_PRODUCT))
    else:
        for start in range(0, len(allowed), BLOCK):
            some = allowed[start : start + BLOCK]
            found, places = faiss.knn(queries, vectors[some], k, faiss.METRIC_INNER_PRODUCT)
            heap.add_result(found, np.where(places < 0, -1, some[places]))
    heap.finalize()
    rows: Rows = heap.I
    return rows
