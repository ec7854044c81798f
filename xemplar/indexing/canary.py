"""Checks that a new generation finds its own cases, under filters too, before it is published."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np
import numpy.typing as npt

from xemplar.errors import CorruptArtefact, NotFound
from xemplar.index import SearchableGeneration, Source
from xemplar.index.exact import cosines, margin, within
from xemplar.index.recall import K

SAMPLE = 64
"""Number of sampled cases; the sample is deterministic for a generation."""

SHARES = (0.5, 0.1, 0.02)
"""Share of the cases, about, that a filter keeps; two filters of each."""

LEAST_RECALL = 0.95
"""Minimum recall at 10 against exact search over the sample, with each filter."""

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Filter = Callable[[Ids, Floats], npt.NDArray[np.bool_]]
"""Selects cases by their ids (n,) and logits (n, F)."""


def check_generation(generation: SearchableGeneration, source: Source) -> float:
    """Search an opened generation for a sample of its cases, as queries with and without filter.

    Filters keep cases by chance, or those with the highest logits of a finding.

    Args:
        generation: opened from disk, as a service would open it.
        source: embeddings that it was built from, read once. Cases added or removed since are
            ignored: the service applies those changes.

    Returns:
        The lowest recall at 10 of a filter against exact search, in [0, 1]. Any of several tied
        cases counts as found.

    Raises:
        CorruptArtefact: a case does not find itself first, an answer is short or has a case that
            the filter excludes, or recall is too low.
    """
    drawn = np.random.default_rng(0).choice(len(generation), min(SAMPLE, len(generation)), False)
    sample = generation.ids[np.sort(drawn)]
    queries = np.stack([generation.vector(int(case)) for case in sample])
    nearest = [_Nearest(sample, one) for one in _filters(generation, sample)]
    for batch in source():
        known = within(batch.ids, generation.ids)
        ids, vectors, logits = batch.ids[known], batch.vectors[known], batch.logits[known]
        for row in np.flatnonzero(within(ids, sample)):
            _check_finds_itself(generation, int(ids[row]), vectors[row])
        similarity = queries @ vectors.T
        for one in nearest:
            one.add(ids, logits, similarity)
    gone = np.setdiff1d(generation.ids, nearest[0].ids)
    recall = min(_recall(generation, one, queries, gone) for one in nearest)
    if recall < LEAST_RECALL:
        raise CorruptArtefact(
            f"the new generation {generation.name} finds {recall:.3f} of the nearest cases, less "
            f"than {LEAST_RECALL}; it is not published; use another --factory, such as Flat"
        )
    return recall


class _Nearest:
    """The `K` nearest other cases of each of a sample, of those that a filter keeps.

    Attributes:
        sample: ids of the queries' cases, int64 (queries,).
        nearest: their nearest cases in any order, int64 (queries, n), n <= K.
        similarity: to those, float32 (queries, n).
    """

    def __init__(self, sample: Ids, keeps: Filter | None) -> None:
        self.sample = sample
        self.keeps = keeps
        self.nearest = np.empty((len(sample), 0), np.int64)
        self.similarity = np.empty((len(sample), 0), np.float32)
        self._ids: list[Ids] = [np.empty(0, np.int64)]

    @property
    def ids(self) -> Ids:
        """Ids of all cases that the filter keeps."""
        return np.concatenate(self._ids)

    def add(self, ids: Ids, logits: Floats, similarity: Floats) -> None:
        """Take in some cases, given their similarities (queries, n)."""
        if self.keeps is not None:
            kept = self.keeps(ids, logits)
            ids, similarity = ids[kept], similarity[:, kept]
        self._ids.append(ids)
        similarity = np.where(self.sample[:, None] == ids, np.float32(-np.inf), similarity)
        all_ids = np.hstack([self.nearest, np.broadcast_to(ids, similarity.shape)])
        similarity = np.hstack([self.similarity, similarity])
        if similarity.shape[1] > K:
            best = np.argpartition(similarity, -K, axis=1)[:, -K:]
            all_ids = np.take_along_axis(all_ids, best, axis=1)
            similarity = np.take_along_axis(similarity, best, axis=1)
        self.nearest, self.similarity = all_ids, similarity


def _filters(generation: SearchableGeneration, sample: Ids) -> Iterator[Filter | None]:
    yield None
    known = []
    for case in sample:
        with suppress(NotFound):  # Milvus has no logits of a case that was removed since
            known.append(generation.logits(int(case)))
    if not known:
        return
    logits = np.stack(known)
    for number, share in enumerate(SHARES):
        finding = number % logits.shape[1]
        least = float(np.quantile(logits[:, finding], 1 - share))
        yield partial(_by_chance, share=share)
        yield partial(_by_finding, finding=finding, least=least)


def _by_chance(ids: Ids, _: Floats, *, share: float) -> npt.NDArray[np.bool_]:
    # multiplicative hashing: Knuth, The Art of Computer Programming 3, section 6.4
    return (ids * 0x9E3779B1) % (1 << 32) < share * (1 << 32)


def _by_finding(_: Ids, logits: Floats, *, finding: int, least: float) -> npt.NDArray[np.bool_]:
    return logits[:, finding] >= least


def _check_finds_itself(generation: SearchableGeneration, case: int, vector: Floats) -> None:
    """Refuse a generation in which another case is nearer to a case's vector than itself."""
    found = generation.search(vector, 1).similarity[0]
    own = cosines(generation.vector(case)[None], vector)[0]
    if own < found - margin(len(vector)):
        raise CorruptArtefact(
            f"case {case} does not find itself in the new generation {generation.name}, which "
            "is not published; the previous one stays live"
        )


def _recall(
    generation: SearchableGeneration, wanted: _Nearest, queries: Floats, gone: Ids
) -> float:
    """Return the fraction of the nearest cases that are found among those that a filter keeps."""
    among = None if wanted.keeps is None else wanted.ids
    there, found, total = wanted.ids, 0, 0
    for case, query, nearest, similarity in zip(
        wanted.sample, queries, wanted.nearest, wanted.similarity, strict=True
    ):
        finite = np.isfinite(similarity)
        nearest, similarity = nearest[finite], similarity[finite]
        if not len(nearest):
            continue
        hits = generation.search(query, len(nearest), {int(case), *gone.tolist()}, among)
        if len(hits.ids) < len(nearest) or not within(hits.ids, there).all():
            raise CorruptArtefact(
                f"the new generation {generation.name} does not keep to a filter: it gives "
                f"{len(hits.ids)} cases of {len(nearest)}, or others; it is not published"
            )
        tied = hits.similarity >= similarity.min() - margin(len(query))
        found += int((np.isin(hits.ids, nearest) | tied).sum())
        total += len(nearest)
    return found / total if total else 1.0
