"""`MilvusGeneration`: an index generation that a Milvus server holds and searches.

Milvus narrows a search down to candidates. Which of them may appear, their similarity and their
order are decided here, in float64, as for a generation of files.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Catalog
from xemplar.errors import IndexUnreachable, NotFound
from xemplar.index.exact import cosines, margin, within
from xemplar.index.generation import Hits, check_search
from xemplar.index.manifest import Manifest, Probe
from xemplar.index.milvus.collection import Collected
from xemplar.index.milvus.columns import Condition, in_list

Ids = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float32]

MOST_CANDIDATES = 16_384
"""Results of one search, at most; Milvus's own limit."""

MOST_LISTED = 4_096
"""Cases that one expression lists; beyond that, Milvus's time grows faster than their number (see
`benchmarks/milvus.py`)."""

MORE = 8
"""Candidates fetched beyond those wanted, to see whether the last one is tied."""

KEPT_OUTPUTS = 8_192
"""Cases whose outputs stay in memory, about 2.5 kB each; a query considers at most 4,096."""


class StoredOutputs(NamedTuple):
    """The network's stored outputs for a case.

    Attributes:
        vector: float32 (C,), the embedding.
        logits: float32 (F,), before calibration.
        cams: float16 (F, g, g).
    """

    vector: Vector
    logits: npt.NDArray[np.float32]
    cams: npt.NDArray[np.float16]


class Allowed:
    """The cases that may appear in an answer."""

    def __init__(self, ids: Ids, excluded: Collection[int]) -> None:
        """Take ids, int64 (n,), ascending, without the excluded ones."""
        self._ids = ids
        gone = np.fromiter(excluded, np.int64, len(excluded))
        self._gone = np.sort(gone[within(gone, ids)])

    def __len__(self) -> int:
        return len(self._ids) - len(self._gone)

    def having(self, some: Ids) -> npt.NDArray[np.bool_]:
        """Tell which of some cases may appear, bool (n,)."""
        return within(some, self._ids) & ~within(some, self._gone)

    def listed(self) -> Iterator[Ids]:
        """Yield all of them, as many at a time as an expression may list."""
        ids = self._ids[~within(self._ids, self._gone)]
        for start in range(0, len(ids), MOST_LISTED):
            yield ids[start : start + MOST_LISTED]


class MilvusGeneration:
    """An open generation in Milvus. Immutable and safe to share between threads.

    Embeddings, logits and Grad-CAM maps of the cases found come from the catalog, in one query for
    each search.

    Attributes:
        manifest: its description.
    """

    def __init__(self, collection: Collected, ids: Ids, catalog: Catalog) -> None:
        self.manifest: Manifest = collection.manifest
        self._collection = collection
        self._ids = ids
        self._catalog = catalog
        self._kept: OrderedDict[int, StoredOutputs] = OrderedDict()
        self._keeping = Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, case: int) -> bool:
        position = int(np.searchsorted(self._ids, case))
        return position < len(self._ids) and self._ids[position] == case

    @property
    def name(self) -> str:
        """Name of the generation."""
        return self.manifest.name

    @property
    def ids(self) -> Ids:
        """Ids of all its cases, int64 (N,), ascending."""
        return self._ids

    @property
    def described(self) -> int:
        """`Catalog.version` whose metadata the collection's fields hold, or newer."""
        return self._collection.version

    def search(
        self,
        vector: Vector,
        k: int,
        excluded: Collection[int] = (),
        among: Ids | None = None,
        *,
        exact: bool = False,
        condition: Condition | None = None,
    ) -> Hits:
        """Find the k most similar cases, or fewer if fewer remain; see `Generation.search`.

        All inverted lists are searched, which is exact, unless all cases are considered: then as
        many as the manifest's `Probe` says.

        Args:
            vector: float32 (C,), finite, unit length.
            k: at least 1.
            excluded: ids of cases to leave out.
            among: ids of the only cases to consider, int64 (n,); None for all.
            exact: search all inverted lists then, too.
            condition: that all of ``among`` meet now, so that Milvus looks at fewer cases.

        Raises:
            InvalidArgument: wrong shape, dtype, length or k.
            IndexUnreachable: the server does not answer.
            DatabaseUnreachable: the catalog does not answer.
        """
        check_search(vector, k, self.manifest.dimension)
        ids = self._ids if among is None else np.unique(among[within(among, self._ids)])
        probe = None if exact else self.manifest.probe(len(ids))
        allowed = Allowed(ids, excluded)
        wanted = min(k, len(allowed))
        if not wanted:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        found, recall = self._candidates(
            vector, wanted, allowed, self._expression(condition), probe
        )
        scores = cosines(self._vectors(found), vector)
        order = np.lexsort((found, -scores))[:wanted]
        return Hits(found[order], scores[order], recall)

    def vector(self, case: int) -> Vector:
        """Return the embedding of a case, float32 (C,).

        Raises:
            NotFound: the case is not in this generation.
        """
        if case not in self:
            raise self._not_here(case)
        vector: Vector = self._vectors(np.array([case], np.int64))[0]
        return vector

    def cams(self, case: int) -> npt.NDArray[np.float32]:
        """Return the Grad-CAM maps of a case, float32 (F, g, g), ordered as in the manifest.

        Raises:
            NotFound: the case is not in this generation, or no longer in the catalog.
        """
        return self._output(case).cams.astype(np.float32)

    def logits(self, case: int) -> npt.NDArray[np.float32]:
        """Return the logits of a case, float32 (F,), before calibration.

        Raises:
            NotFound: see `cams`.
        """
        return self._output(case).logits

    def _candidates(
        self, vector: Vector, wanted: int, allowed: Allowed, expression: str, probe: Probe | None
    ) -> tuple[Ids, float]:
        """Find allowed cases that include the ``wanted`` nearest ones, with all that may tie.

        Returns:
            Their ids, and the recall of the search, see `Hits`.
        """
        found, recall = None, 1.0
        if len(allowed) > MOST_LISTED:
            if probe is not None:
                found = self._nearest(vector, wanted, allowed, expression, probe.nprobe)
                recall = probe.recall_at_10
            if found is None:  # also if the lists that were visited hold too few
                found, recall = self._nearest(vector, wanted, allowed, expression), 1.0
        ids, similarity = found or self._nearest_of_each(vector, wanted, allowed)
        least = np.partition(similarity, -wanted)[-wanted] - margin(len(vector))
        close: Ids = ids[similarity >= least]
        return close, recall

    def _nearest_of_each(
        self, vector: Vector, count: int, allowed: Allowed
    ) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Search among few cases, or so few of the candidates that each has to be named."""
        ids, similarities = [], []
        for some in allowed.listed():
            most = min(count, len(some))
            found = self._nearest(vector, most, Allowed(some, ()), in_list(some))
            if found is None:
                raise IndexUnreachable(
                    f"the generation {self.name} in Milvus returned fewer cases than it holds; "
                    "see whether all its parts are loaded"
                )
            ids.append(found[0])
            similarities.append(found[1])
        return np.concatenate(ids), np.concatenate(similarities)

    def _expression(self, condition: Condition | None) -> str:
        """Return the expression of the cases to search among; empty for all."""
        if condition is None or len(condition.redescribed) > MOST_LISTED:
            return ""
        met = self._collection.names.expression(condition)
        some = condition.redescribed
        return f"({met}) or ({in_list(some)})" if met and some else met

    def _nearest(
        self,
        vector: Vector,
        count: int,
        allowed: Allowed,
        expression: str,
        nprobe: int | None = None,
    ) -> tuple[Ids, npt.NDArray[np.float32]] | None:
        """Search with more and more candidates until ``count`` of them are allowed.

        Args:
            vector: of the query.
            count: number of cases wanted.
            allowed: the cases that may appear.
            expression: of the cases that Milvus searches among; empty for all.
            nprobe: number of inverted lists to visit; None for all.

        Returns:
            Ids and similarities by Milvus, all allowed; None if there are too few among the
            candidates that Milvus returns at once.
        """
        fetched = min(count + MORE, MOST_CANDIDATES)
        while True:
            ids, similarity = self._collection.search(vector, fetched, expression, nprobe)
            may = allowed.having(ids)
            found = ids[may], similarity[may]
            ended = len(ids) < fetched
            if len(found[0]) >= count:
                # a tie at the end of the results may continue beyond them
                tied = not ended and found[1][count - 1] - similarity[-1] <= margin(len(vector))
                if not tied:
                    return found
            if ended or fetched == MOST_CANDIDATES:
                return None
            fetched = min(4 * fetched, MOST_CANDIDATES)

    def _output(self, case: int) -> StoredOutputs:
        outputs = self._outputs(np.array([case], np.int64)) if case in self else {}
        if case not in outputs:
            raise self._not_here(case)
        return outputs[case]

    def _not_here(self, case: int) -> NotFound:
        return NotFound(f"case {case} is not in the index generation {self.name}")

    def _vectors(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Return the embeddings of cases of this generation, float32 (n, C).

        Those of cases that were removed from the catalog since come from Milvus.
        """
        outputs = self._outputs(ids)
        vectors = {number: one.vector for number, one in outputs.items()}
        gone = [number for number in ids.tolist() if number not in vectors]
        if gone:
            vectors.update(self._collection.vectors(gone))
        return np.stack([vectors[number] for number in ids.tolist()])

    def _outputs(self, ids: Ids) -> dict[int, StoredOutputs]:
        """Return the stored outputs of cases; those that the catalog no longer has are missing."""
        numbers = ids.tolist()
        with self._keeping:
            found = {number: self._kept[number] for number in numbers if number in self._kept}
        missing = sorted(set(numbers).difference(found))
        for batch in self._catalog.vectors_of(self.manifest.checkpoint, missing):
            outputs = map(StoredOutputs, batch.vectors, batch.logits, batch.cams)
            found.update(zip(batch.ids.tolist(), outputs, strict=True))
        with self._keeping:
            for number in found:
                self._kept[number] = found[number]
                self._kept.move_to_end(number)
            while len(self._kept) > KEPT_OUTPUTS:
                self._kept.popitem(last=False)
        return found
