"""`LiveIndex`: a published generation, plus the cases that came since, minus those that went.

A generation is never changed, and building one takes minutes where images are many. So what came
since it was built lies beside it in memory and is searched exactly, and what went is left out of
every search. Each change makes a new object: a query goes on with the one that it began with.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Batch, Catalog
from xemplar.errors import Mismatch, NotFound
from xemplar.index.generation import TIE, Generation, Hits, cosines
from xemplar.index.manifest import Manifest


class LiveIndex:
    """Answers as a generation that was built just now would. Immutable; any thread may search."""

    def __init__(
        self,
        generation: Generation,
        added: Batch | None = None,
        removed: Collection[int] = (),
        version: int | None = None,
    ) -> None:
        """Take what was read from a catalog (see `of`).

        Args:
            generation: the published one.
            added: cases that it does not hold, ids ascending; None for none.
            removed: ids of cases that were removed; others than its own are passed over.
            version: of the catalog that says so (`Catalog.version`); None if none was asked.
        """
        self.generation = generation
        self._version = version
        self._added = added if added is not None else _nothing(generation.manifest)
        gone = np.fromiter(removed, np.int64, len(removed))
        gone = gone[_within(gone, generation.ids)]
        self._removed = frozenset(gone.tolist())
        kept = np.delete(generation.ids, np.searchsorted(generation.ids, gone))
        # stable: what is sorted already but for its end takes one pass
        self._ids = np.sort(np.concatenate([kept, self._added.ids]), kind="stable")

    @classmethod
    def of(cls, generation: Generation, catalog: Catalog) -> Self:
        """A generation, and what the catalog knows beyond it.

        Raises:
            Mismatch: the catalog knows nothing of a case in it.
        """
        check_cases(generation, catalog)
        return cls(generation).updated(catalog)

    def updated(self, catalog: Catalog) -> Self:
        """This, with what has changed in the catalog; itself where nothing has.

        Only what changed is read.
        """
        checkpoint, since = self.manifest.checkpoint, self._version
        # asked first: what changes while the rest is read, the next call sees
        version = catalog.version()
        if version == since:
            return self
        came = catalog.embedded_ids(checkpoint, since)
        came = came[~_within(came, self.generation.ids) & ~_within(came, self._added.ids)]
        read = [self._added, *catalog.vectors_of(checkpoint, came.tolist())]
        gone = catalog.removed(since or 0)
        left = [_rows(batch, ~np.isin(batch.ids, list(gone))) for batch in read]
        return type(self)(self.generation, _joined(left), self._removed | gone, version)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, case: int) -> bool:
        return _place(self._ids, case) is not None

    @property
    def name(self) -> str:
        """Of the generation."""
        return self.generation.name

    @property
    def manifest(self) -> Manifest:
        """Of the generation; its count is what was published, ``len`` is what answers."""
        return self.generation.manifest

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Of all cases that answer, int64 (N,), ascending."""
        return self._ids

    @property
    def changes(self) -> "Changes":
        """How far this has come from what was published."""
        return Changes(added=len(self._added.ids), removed=len(self._removed))

    def search(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
    ) -> Hits:
        """The k most similar cases; as `Generation.search`."""
        published = self.generation.search(vector, k, self._removed.union(excluded), among)
        later = self._search_added(vector, k, excluded, among)
        ids = np.concatenate([published.ids, later.ids])
        similarity = np.concatenate([published.similarity, later.similarity])
        order = np.lexsort((ids, -similarity))[:k]
        return Hits(ids[order], similarity[order])

    def vector(self, case: int) -> npt.NDArray[np.float32]:
        """The embedding of a case; as `Generation.vector`."""
        row = self._row(case)
        if row is None:
            return self.generation.vector(case)
        vector: npt.NDArray[np.float32] = self._added.vectors[row]
        return vector

    def cams(self, case: int) -> npt.NDArray[np.float32]:
        """Grad-CAM of every finding of a case; as `Generation.cams`."""
        row = self._row(case)
        if row is None:
            return self.generation.cams(case)
        cams: npt.NDArray[np.float32] = self._added.cams[row].astype(np.float32)
        return cams

    def logits(self, case: int) -> npt.NDArray[np.float32]:
        """Logits of every finding of a case; as `Generation.logits`."""
        row = self._row(case)
        if row is None:
            return self.generation.logits(case)
        logits: npt.NDArray[np.float32] = self._added.logits[row]
        return logits

    def _search_added(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Collection[int],
        among: npt.NDArray[np.int64] | None,
    ) -> Hits:
        """The best of the added cases; those that could tie are scored as the generation does."""
        allowed = ~np.isin(self._added.ids, np.fromiter(excluded, np.int64, len(excluded)))
        if among is not None:
            allowed &= np.isin(self._added.ids, among)
        ids, vectors = self._added.ids[allowed], self._added.vectors[allowed]
        if len(ids) > k:
            rough = vectors @ vector
            close = rough >= np.partition(rough, -k)[-k] - TIE
            ids, vectors = ids[close], vectors[close]
        scores = cosines(vectors, vector)
        order = np.lexsort((ids, -scores))[:k]
        return Hits(ids[order], scores[order])

    def _row(self, case: int) -> int | None:
        """Place among the added cases; None for one of the generation's."""
        if case not in self:
            raise NotFound(f"case {case} is not in the index generation {self.name}")
        return _place(self._added.ids, case)


@dataclass(frozen=True)
class Changes:
    """Since a generation was built: cases that came, and of its own, those that went."""

    added: int
    removed: int


def _place(ids: npt.NDArray[np.int64], case: int) -> int | None:
    place = int(np.searchsorted(ids, case))
    return place if place < len(ids) and ids[place] == case else None


def _within(some: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of some ids are among others, which are ascending and may be very many."""
    found: npt.NDArray[np.bool_] = np.searchsorted(ids, some, "right") > np.searchsorted(ids, some)
    return found


def check_cases(generation: Generation, catalog: Catalog) -> None:
    """Refuse a catalog that has neither a case of the generation, nor its removal.

    Raises:
        Mismatch: it is another store's catalog, or an older one.
    """
    unknown = np.setdiff1d(generation.ids, catalog.embedded_ids(generation.manifest.checkpoint))
    removed = catalog.removed() if len(unknown) else ()
    unknown = np.setdiff1d(unknown, np.fromiter(removed, np.int64, len(removed)))
    if len(unknown):
        where = catalog.engine.url.render_as_string(hide_password=True)
        raise Mismatch(
            f"the catalog {where} lacks {len(unknown):,} of the {len(generation.ids):,} cases of "
            f"the generation {generation.name}; name the catalog that belongs to this store "
            "(--database, XEMPLAR_DATABASE_URL), or run `xemplar reindex`"
        )


def _nothing(manifest: Manifest) -> Batch:
    findings = len(manifest.findings)
    return Batch(
        ids=np.empty(0, np.int64),
        vectors=np.empty((0, manifest.dimension), np.float32),
        logits=np.empty((0, findings), np.float32),
        cams=np.empty((0, findings, 1, 1), np.float16),
    )


def _rows(batch: Batch, which: npt.NDArray[np.bool_]) -> Batch:
    if which.all():
        return batch
    return Batch(batch.ids[which], batch.vectors[which], batch.logits[which], batch.cams[which])


def _joined(batches: list[Batch]) -> Batch | None:
    """All in one, ids ascending; None for none."""
    some = [batch for batch in batches if len(batch.ids)]
    if not some:
        return None
    ids = np.concatenate([batch.ids for batch in some])
    order = np.argsort(ids)
    return Batch(
        ids[order],
        np.concatenate([batch.vectors for batch in some])[order],
        np.concatenate([batch.logits for batch in some])[order],
        np.concatenate([batch.cams for batch in some])[order],
    )
