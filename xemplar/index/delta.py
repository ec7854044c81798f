"""`LiveIndex`: a published generation with a delta of cases added and removed since.

A generation never changes, and building one takes minutes for large archives. So cases added later
are held in memory and searched exactly, and removed cases are excluded from every search. Each
change creates a new object, so that a running query keeps the one it started with.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.api.search import CaseFilter
from xemplar.catalog import Batch, Catalog
from xemplar.catalog.tally import Tally
from xemplar.errors import Mismatch, NotFound
from xemplar.index.engine import SearchableGeneration
from xemplar.index.exact import cosines, margin, rows_of, within
from xemplar.index.filters import CurrentColumns
from xemplar.index.generation import Hits
from xemplar.index.manifest import Manifest
from xemplar.index.milvus.columns import Condition
from xemplar.index.milvus.generation import MilvusGeneration

SAMPLE = 1000
"""Cases that a similarity is compared with, to tell how many are less similar."""


class LiveIndex:
    """Searches like a generation built just now. Immutable and safe to share between threads."""

    def __init__(
        self,
        generation: SearchableGeneration,
        added: Batch | None = None,
        removed: Collection[int] = (),
        version: int | None = None,
        columns: CurrentColumns | None = None,
    ) -> None:
        """Combine a generation with a delta (see `of`).

        Args:
            generation: the published one.
            added: cases missing from the generation, ids ascending; None for none.
            removed: ids of removed cases; those not in the generation are ignored.
            version: `Catalog.version` of the delta; None without a catalog.
            columns: what filters ask of the catalog; None to read them when first needed.
        """
        self.generation = generation
        self._version = version
        self._added = added if added is not None else _empty_batch(generation.manifest)
        gone = np.fromiter(removed, np.int64, len(removed))
        gone = gone[within(gone, generation.ids)]
        self._removed = frozenset(gone.tolist())
        self._ids = generation.ids  # not copied until something changes
        if len(gone) or len(self._added.ids):
            kept = np.delete(generation.ids, np.searchsorted(generation.ids, gone))
            # stable: nearly sorted input takes one pass
            self._ids = np.sort(np.concatenate([kept, self._added.ids]), kind="stable")
        self._columns = columns if columns is not None else CurrentColumns()
        self._samples: dict[frozenset[str] | None, npt.NDArray[np.float32]] = {}

    @classmethod
    def of(
        cls, generation: SearchableGeneration, catalog: Catalog, before: Self | None = None
    ) -> Self:
        """Combine a generation with the catalog's later changes.

        Args:
            generation: the published one.
            catalog: of its cases.
            before: an index of the same catalog, whose filter columns are used on.

        Raises:
            Mismatch: the catalog lacks a case of the generation.
        """
        version = catalog.version()  # read first, see `updated`
        embedded = check_cases(generation, catalog)
        index = cls(generation, columns=None if before is None else before._columns)
        return index._changed(catalog, version, embedded)

    def updated(self, catalog: Catalog) -> Self:
        """Return this index with the catalog's changes applied, or itself if there are none.

        Reads only the changes.
        """
        checkpoint, since = self.manifest.checkpoint, self._version
        # read first: the next call sees changes made while the rest is read
        version = catalog.version()
        if version == since:
            return self
        return self._changed(catalog, version, catalog.embedded_ids(checkpoint, since))

    def _changed(self, catalog: Catalog, version: int, added: npt.NDArray[np.int64]) -> Self:
        """Return this index as of a version, given the ids embedded since its own, and others."""
        checkpoint, since = self.manifest.checkpoint, self._version
        added = added[~within(added, self.generation.ids) & ~within(added, self._added.ids)]
        read = [self._added, *catalog.vectors_of(checkpoint, added.tolist())]
        gone = catalog.removed(since or 0)
        left = [_rows(batch, ~np.isin(batch.ids, list(gone))) for batch in read]
        removed = self._removed | gone
        index = type(self)(self.generation, _joined(left), removed, version, self._columns)
        self._columns.follow(catalog, index.ids)
        return index

    def read_columns(self, catalog: Catalog) -> None:
        """Read what filters ask, so that the first one need not wait for it."""
        self._columns.of(catalog, self._ids)

    def matching(
        self, catalog: Catalog, wanted: CaseFilter, known_absent: str | None = None
    ) -> npt.NDArray[np.bool_]:
        """Select the cases that meet a filter and that the catalog's caller can see.

        Their metadata is that of the catalog now, not of the last update.

        Args:
            catalog: of the index.
            wanted: the filter.
            known_absent: see `FilterColumns.mask`.

        Returns:
            bool (N,), in order of ``ids``.

        Raises:
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        catalog.check(wanted)
        columns = self._columns.of(catalog, self._ids)
        mask = columns.mask(wanted, known_absent, catalog.access.sources)
        if wanted.says is not None:
            said = np.zeros(len(mask), bool)
            said[rows_of(catalog.reports.saying(wanted.terms), self._ids)] = True
            mask &= said
        return mask

    def tally(self, catalog: Catalog, mask: npt.NDArray[np.bool_] | None = None) -> Tally:
        """Count findings and outcomes in the cases that `matching` selected; None for all."""
        columns = self._columns.of(catalog, self._ids)
        return columns.tally(columns.mask(CaseFilter()) if mask is None else mask)

    def condition(
        self, catalog: Catalog, wanted: CaseFilter, known_absent: str | None = None
    ) -> Condition | None:
        """Describe what `matching` selected before, for a search by Milvus; None if files do it.

        Args:
            catalog: of the index.
            wanted: the filter.
            known_absent: see `FilterColumns.mask`.
        """
        if not isinstance(self.generation, MilvusGeneration):
            return None
        redescribed = catalog.described_ids(self.generation.described).tolist()
        return Condition(wanted, known_absent, catalog.access.sources, redescribed)

    def visible(self, catalog: Catalog) -> npt.NDArray[np.int64] | None:
        """Return the ids of the cases that the catalog's caller can see; None if it sees all."""
        if catalog.access.sources is None:
            return None
        return self._ids[self.matching(catalog, CaseFilter())]

    def sample(self, catalog: Catalog) -> npt.NDArray[np.float32]:
        """Return embeddings of the cases that the catalog's caller can see, evenly over the index.

        Read once for the cases of each choice of sources: a thousand single reads take 10 ms.

        Returns:
            float32 (n, C), of at most `SAMPLE` cases.
        """
        sources = catalog.access.sources
        found = self._samples.get(sources)
        if found is None:
            seen = self.visible(catalog)
            ids = self._ids if seen is None else seen
            drawn = ids[:: max(1, -(-len(ids) // SAMPLE))]
            empty = np.empty((0, self.manifest.dimension), np.float32)
            found = np.stack([self.vector(int(case)) for case in drawn]) if len(drawn) else empty
            self._samples[sources] = found
        return found

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, case: int) -> bool:
        return _position(self._ids, case) is not None

    @property
    def name(self) -> str:
        """Name of the generation."""
        return self.generation.name

    @property
    def manifest(self) -> Manifest:
        """Manifest of the generation; its count is the published one, ``len`` the current one."""
        return self.generation.manifest

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids of all searchable cases, int64 (N,), ascending."""
        return self._ids

    @property
    def changes(self) -> "Changes":
        """Size of the delta."""
        return Changes(added=len(self._added.ids), removed=len(self._removed))

    def search(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
        *,
        exact: bool = False,
        condition: Condition | None = None,
    ) -> Hits:
        """Find the k most similar cases; see `Generation.search`.

        Args:
            vector: float32 (C,), finite, unit length.
            k: at least 1.
            excluded: ids of cases to leave out.
            among: ids of the only cases to consider, int64 (n,), ascending; None for all.
            exact: whether to compare all cases considered.
            condition: that those of ``among`` meet (`condition`).
        """
        gone = self._removed.union(excluded) if self._removed else excluded
        about = (vector, k, gone, among)
        if isinstance(self.generation, MilvusGeneration):
            published = self.generation.search(*about, exact=exact, condition=condition)
        else:
            published = self.generation.search(*about, exact=exact)
        later = self._search_added(vector, k, excluded, among)
        ids = np.concatenate([published.ids, later.ids])
        similarity = np.concatenate([published.similarity, later.similarity])
        order = np.lexsort((ids, -similarity))[:k]
        return Hits(ids[order], similarity[order], published.recall_at_10)

    def vector(self, case: int) -> npt.NDArray[np.float32]:
        """Return the embedding of a case; see `Generation.vector`."""
        row = self._row(case)
        if row is None:
            return self.generation.vector(case)
        vector: npt.NDArray[np.float32] = self._added.vectors[row]
        return vector

    def cams(self, case: int) -> npt.NDArray[np.float32]:
        """Return the Grad-CAM maps of a case; see `Generation.cams`."""
        row = self._row(case)
        if row is None:
            return self.generation.cams(case)
        cams: npt.NDArray[np.float32] = self._added.cams[row].astype(np.float32)
        return cams

    def logits(self, case: int) -> npt.NDArray[np.float32]:
        """Return the logits of a case; see `Generation.logits`."""
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
        """Search the added cases; possible ties are scored as in the generation."""
        allowed = ~np.isin(self._added.ids, np.fromiter(excluded, np.int64, len(excluded)))
        if among is not None:
            allowed &= within(self._added.ids, among)  # np.isin would look through all of them
        ids, vectors = self._added.ids[allowed], self._added.vectors[allowed]
        if len(ids) > k:
            rough = vectors @ vector
            close = rough >= np.partition(rough, -k)[-k] - margin(len(vector))
            ids, vectors = ids[close], vectors[close]
        scores = cosines(vectors, vector)
        order = np.lexsort((ids, -scores))[:k]
        return Hits(ids[order], scores[order])

    def _row(self, case: int) -> int | None:
        """Return a case's row among the added cases; None if it is in the generation."""
        if case not in self:
            raise NotFound(f"case {case} is not in the index generation {self.name}")
        return _position(self._added.ids, case)


@dataclass(frozen=True)
class Changes:
    """Numbers of cases added, and of the generation's cases removed, since it was built."""

    added: int
    removed: int


def _position(ids: npt.NDArray[np.int64], case: int) -> int | None:
    position = int(np.searchsorted(ids, case))
    return position if position < len(ids) and ids[position] == case else None


def check_cases(generation: SearchableGeneration, catalog: Catalog) -> npt.NDArray[np.int64]:
    """Refuse a catalog that has no record, not even a removal, of a case of the generation.

    Returns:
        Ids of the cases that the generation's checkpoint has embedded, int64 (n,), ascending.

    Raises:
        Mismatch: it belongs to another store, or is out of date.
    """
    embedded = catalog.embedded_ids(generation.manifest.checkpoint)
    unknown = generation.ids[~within(generation.ids, embedded)]
    removed = catalog.removed() if len(unknown) else ()
    unknown = np.setdiff1d(unknown, np.fromiter(removed, np.int64, len(removed)))
    if len(unknown):
        where = catalog.engine.url.render_as_string(hide_password=True)
        raise Mismatch(
            f"the catalog {where} lacks {len(unknown):,} of the {len(generation.ids):,} cases of "
            f"the generation {generation.name}; name the catalog that belongs to this store "
            "(--database, XEMPLAR_DATABASE_URL), or run `xemplar reindex`"
        )
    return embedded


def _empty_batch(manifest: Manifest) -> Batch:
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
    """Concatenate batches in ascending order of ids; None if all are empty."""
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
