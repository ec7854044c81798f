"""Checks that a new generation finds its own cases before it is published."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.errors import CorruptArtefact
from xemplar.index import SearchableGeneration, Source
from xemplar.index.generation import TIE
from xemplar.index.recall import K, sample_of

SAMPLE = 64
"""Number of sampled cases; the sample is deterministic for a catalog."""

LEAST_RECALL = 0.95
"""Minimum recall at 10 against exact search over the sample."""


class HeldEmbeddings(NamedTuple):
    """Embeddings of cases in a generation.

    Attributes:
        ids: int64 (n,).
        vectors: float32 (n, C).
    """

    ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


def check_generation(generation: SearchableGeneration, source: Source) -> float:
    """Search an opened generation for a sample of its cases, as a query would.

    Args:
        generation: opened from disk, as a service would open it.
        source: embeddings that it was built from. Cases added or removed since are ignored: the
            service applies those changes.

    Returns:
        Recall at 10 against exact search, in [0, 1]. Any of several tied cases counts as found.

    Raises:
        CorruptArtefact: a case does not find itself first, or recall is too low.
    """

    def held() -> Iterator[HeldEmbeddings]:
        for batch in source():
            known = np.isin(batch.ids, generation.ids)
            yield HeldEmbeddings(batch.ids[known], batch.vectors[known])

    ids, queries = sample_of(held, SAMPLE)
    for case, query in zip(map(int, ids), queries, strict=True):
        found = generation.search(query, 1)
        own = generation.search(query, 1, among=np.array([case], np.int64))
        if not len(own.ids) or found.similarity[0] > own.similarity[0] + TIE:
            raise CorruptArtefact(
                f"case {case} does not find itself in the new generation {generation.name}, which "
                "is not published; the previous one stays live"
            )
    recall = _recall(generation, held, ids, queries)
    if recall < LEAST_RECALL:
        raise CorruptArtefact(
            f"the new generation {generation.name} finds {recall:.3f} of the nearest cases, less "
            f"than {LEAST_RECALL}; it is not published; use another --factory, such as IDMap2,Flat"
        )
    return recall


def _recall(
    generation: SearchableGeneration,
    held: Callable[[], Iterator[HeldEmbeddings]],
    ids: npt.NDArray[np.int64],
    queries: npt.NDArray[np.float32],
) -> float:
    nearest, similarities, there = _nearest(held, ids, queries)
    gone = np.setdiff1d(generation.ids, there).tolist()
    found = wanted = 0
    for row, (case, query) in enumerate(zip(map(int, ids), queries, strict=True)):
        finite = np.isfinite(similarities[row])
        exact, similarity = nearest[row][finite], similarities[row][finite]
        if len(exact):
            hits = generation.search(query, len(exact), excluded=[case, *gone])
            tied = hits.similarity >= similarity[-1] - 10 * TIE
            found += int((np.isin(hits.ids, exact) | tied).sum())
            wanted += len(exact)
    return found / wanted if wanted else 1.0


def _nearest(
    held: Callable[[], Iterator[HeldEmbeddings]],
    ids: npt.NDArray[np.int64],
    queries: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Find each query's `K` nearest other cases by exact search.

    Returns their ids, their similarities (-inf if there are fewer than `K`) and the ids of all
    cases.
    """
    nearest = np.full((len(queries), K), -1, np.int64)
    best = np.full((len(queries), K), -np.inf, np.float32)
    there = [np.empty(0, np.int64)]
    for batch in held():
        there.append(batch.ids)
        similarity = queries @ batch.vectors.T
        similarity[ids[:, None] == batch.ids] = -np.inf
        all_ids = np.hstack([nearest, np.broadcast_to(batch.ids, similarity.shape)])
        all_of_them = np.hstack([best, similarity])
        order = np.argsort(-all_of_them, axis=1, kind="stable")[:, :K]
        nearest = np.take_along_axis(all_ids, order, axis=1)
        best = np.take_along_axis(all_of_them, order, axis=1)
    return nearest, best, np.concatenate(there)
