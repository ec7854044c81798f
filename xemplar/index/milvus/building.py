"""Fills a collection from a checkpoint's embeddings, and measures how well it is searched."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Catalog
from xemplar.index.builder import Source, Vectors
from xemplar.index.manifest import Probe
from xemplar.index.milvus.collection import VECTOR, IndexKind, insert, nearest
from xemplar.index.milvus.columns import Names, rows
from xemplar.index.milvus.generation import REFINED
from xemplar.index.recall import ENOUGH, K

QUERIES = 256
"""Cases whose nearest ones are looked for to measure recall."""


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


def measured(
    url: str,
    collection: str,
    kind: IndexKind,
    source: Source,
    catalog: Catalog,
    checkpoint: str,
    seed: int = 0,
) -> tuple[Probe, ...]:
    """Choose the fewest inverted lists (a power of two) that reach `ENOUGH` recall.

    Args:
        url: of the server.
        collection: a loaded one.
        kind: of its index.
        source: embeddings in it.
        catalog: contains them.
        checkpoint: digest of their checkpoint.
        seed: of the choice of queries.

    Returns:
        The effort of a search without filter; none for an index that compares all cases.
    """
    if not kind.lists:
        return ()
    ids = catalog.embedded_ids(checkpoint)
    drawn = np.random.default_rng(seed).choice(ids, min(QUERIES, len(ids)), replace=False)
    sample = list(catalog.vectors_of(checkpoint, np.sort(drawn).tolist()))
    queries = np.concatenate([batch.vectors for batch in sample])
    truth = _exact(source, np.concatenate([batch.ids for batch in sample]), queries)
    count = 1 + K * REFINED  # comparing those in full precision puts them into their order
    nprobe = 1
    while True:
        hits = sum(
            len(np.intersect1d(near, nearest(url, collection, query, count, "", nprobe)[0]))
            for query, near in zip(queries, truth, strict=True)
        )
        recall = hits / max(1, sum(map(len, truth)))
        if recall >= ENOUGH or nprobe == kind.lists:
            return (Probe(1.0, nprobe, recall),)
        nprobe = min(2 * nprobe, kind.lists)


def _exact(
    source: Source, ids: npt.NDArray[np.int64], queries: npt.NDArray[np.float32]
) -> list[npt.NDArray[np.int64]]:
    """Return the ids of each query's `K` nearest cases without itself, or fewer."""
    near = [np.empty(0, np.int64)] * len(ids)
    best = [np.empty(0, np.float32)] * len(ids)
    for batch in source():
        for row, similarity in enumerate(queries @ batch.vectors.T):
            others = batch.ids != ids[row]
            all_ids = np.concatenate([near[row], batch.ids[others]])
            similarities = np.concatenate([best[row], similarity[others]])
            order = np.argsort(-similarities, kind="stable")[:K]
            near[row], best[row] = all_ids[order], similarities[order]
    return near
