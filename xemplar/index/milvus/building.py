"""Fills a collection from a checkpoint's embeddings, and measures how well it is searched."""

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.catalog import Catalog
from xemplar.index.builder import Source, Vectors
from xemplar.index.exact import Rows, margin
from xemplar.index.manifest import Probe
from xemplar.index.milvus.collection import VECTOR, insert, nearest
from xemplar.index.milvus.columns import Names, rows
from xemplar.index.recall import ENOUGH, QUERIES, K


def fill(url: str, collection: str, source: Source, catalog: Catalog) -> tuple[int, int, Names]:
    """Write all embeddings and their cases' metadata.

    Returns:
        The number of cases, the highest id (-1 if there is none), and the names in the fields.
    """
    names, count, last = Names(), 0, -1
    for batch in source():
        insert(url, collection, _rows(batch, catalog, names))
        count += len(batch.ids)
        last = int(batch.ids[-1])
    return count, last, names


def _rows(batch: Vectors, catalog: Catalog, names: Names) -> Iterator[dict[str, Any]]:
    ids = batch.ids.tolist()
    cases = catalog.cases(ids)
    for row, vector in zip(rows(ids, cases, names), batch.vectors, strict=True):
        yield {**row, VECTOR: np.asarray(vector, np.float32)}


def measured(url: str, collection: str, lists: int, source: Source, count: int) -> Probe:
    """Choose the fewest inverted lists that reach `ENOUGH` recall in searches without filter.

    Args:
        url: of the server.
        collection: a filled and loaded one.
        lists: number of its inverted lists.
        source: its embeddings; read twice.
        count: number of them.
    """
    own, queries = _sample(source, count)
    ids, similarity = _exact(source, queries)
    others = (ids != own[:, None]) & (ids >= 0)
    wanted = [scores[rows][:K] for scores, rows in zip(similarity, others, strict=True)]
    nprobe = 1
    while True:
        hits = 0
        for case, query, best in zip(own, queries, wanted, strict=True):
            found, scores = nearest(url, collection, query, K + 1, "", nprobe)
            # a case that ties with the last of them is as good
            near = scores[found != case] >= best.min(initial=2) - margin(len(query))
            hits += min(len(best), int(np.count_nonzero(near)))
        recall = hits / max(1, sum(map(len, wanted)))
        if recall >= ENOUGH or nprobe >= lists:
            return Probe(1.0, nprobe, recall)
        nprobe = min(2 * nprobe, lists)


def _sample(source: Source, count: int, seed: int = 0) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Draw cases: ids int64 (n,), ascending, and embeddings float32 (n, C), n <= `QUERIES`."""
    drawn = np.sort(np.random.default_rng(seed).choice(count, min(QUERIES, count), replace=False))
    ids, vectors, start = [], [], 0
    for batch in source():
        some = drawn[(drawn >= start) & (drawn < start + len(batch.ids))] - start
        ids.append(batch.ids[some])
        vectors.append(batch.vectors[some])
        start += len(batch.ids)
    return np.concatenate(ids), np.concatenate(vectors)


def _exact(
    source: Source, queries: npt.NDArray[np.float32]
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Return ids and similarity of each query's nearest cases, (n, K + 1), best first; -1: none."""
    heap = faiss.ResultHeap(len(queries), K + 1, keep_max=True)
    for batch in source():
        near, places = faiss.knn(queries, batch.vectors, K + 1, faiss.METRIC_INNER_PRODUCT)
        heap.add_result(near, np.where(places < 0, -1, batch.ids[places]))
    heap.finalize()
    return heap.I, heap.D
