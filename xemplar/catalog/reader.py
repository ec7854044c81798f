"""`CatalogReader`: queries about cases and their embeddings."""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, Engine, Select, bindparam, exists, func, select

from xemplar.api.search import CaseFilter
from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.case import Batch, Case, case_elsewhere, case_id_of, case_id_taken
from xemplar.catalog.changes import last_change, later
from xemplar.catalog.filters import conditions
from xemplar.catalog.postings import Postings
from xemplar.catalog.reports import CaseReports
from xemplar.catalog.rows import batch_of, cases_of, parts, select_cases
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import (
    CaseRow,
    EmbeddingRow,
    FindingRow,
    ReferenceRow,
    RemovalRow,
)
from xemplar.data.findings import VOCABULARY, known_finding
from xemplar.errors import CorruptArtefact, NotFound


@lru_cache
def _cases_within(access: Access) -> Select[Any]:
    """Build the statement that reads a caller's cases among ``ids``.

    Once: building it for each search, and finding its compiled form again, takes a third of the
    time of reading five cases.
    """
    chosen = CaseRow.id.in_(bindparam("ids", expanding=True))
    return select_cases().where(chosen, *access.conditions())


class CatalogReader:
    """The read-only half of a `Catalog`. Safe to share between threads.

    Queries about cases are restricted by `Access`. Queries about embeddings are not, as an index
    contains all cases.

    Attributes:
        access: limits of the caller; none by default.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.access = EVERYTHING
        self._postings = Postings()

    def bound(self, access: Access) -> Self:
        """Return this catalog restricted to a caller's limits; cases outside them do not exist."""
        if access == self.access:
            return self
        bound = copy.copy(self)
        bound.access = access
        return bound

    @property
    def engine(self) -> Engine:
        """Engine, for classes with tables of their own in the same database, such as `Jobs`."""
        return self._engine

    @property
    def reports(self) -> CaseReports:
        """Reports of the cases, within the same limits."""
        return CaseReports(self._engine, self.access, self._postings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def case(self, case_id: str) -> Case:
        """Return a case by its case id.

        Raises:
            NotFound: there is no such case.
        """
        found = self.find(case_id)
        if found is None:
            raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
        return found

    def find(self, case_id: str) -> Case | None:
        """Return a case by its case id, or None."""
        query = select_cases().where(CaseRow.case_id == case_id, *self.access.conditions())
        with self._reading() as connection:
            return next(cases_of(connection.execute(query)), None)

    def known(self, case_ids: Collection[str]) -> frozenset[str]:
        """Return those of some case ids that are cases; `MOST_VALUES` of them at most."""
        query = select(CaseRow.case_id).where(CaseRow.case_id.in_(case_ids))
        with self._reading() as connection:
            return frozenset(connection.scalars(query.where(*self.access.conditions())))

    def reference(self, case_id: str) -> bytes | None:
        """Return the sealed reference of a case to its study; None if none is kept."""
        query = select(ReferenceRow.sealed).join(CaseRow, CaseRow.id == ReferenceRow.case)
        query = query.where(CaseRow.case_id == case_id, *self.access.conditions())
        with self._reading() as connection:
            return connection.scalar(query)

    def find_image(self, image_sha256: str) -> Case | None:
        """Return the case of an image by the sha256 hex digest of its bytes, or None.

        Raises:
            CaseIdTaken: its case id belongs to another image.
            CaseElsewhere: the case is outside the caller's limits.
        """
        case = self.bound(EVERYTHING).find(case_id_of(image_sha256))
        if case is not None and case.image_sha256 != image_sha256:
            raise case_id_taken(case.case_id)
        if case is not None and not self.access.sees(case.source):
            raise case_elsewhere()
        return case

    def cases(self, ids: Iterable[int]) -> Mapping[int, Case]:
        """Return cases by ascending ids, in one query if they are few; removed ones are missing."""
        wanted = [*map(int, ids)]
        if not wanted:
            return {}
        query = _cases_within(self.access)
        with self._reading() as connection:
            return {
                case.id: case
                for some in parts(wanted)
                for case in cases_of(connection.execute(query, {"ids": some}))
            }

    def named_images(self, source: str) -> frozenset[tuple[str, str]]:
        """Return (name within the data set, image digest) of a source's named images."""
        query = select(CaseRow.file, CaseRow.image_sha256).where(CaseRow.source == source)
        with self._reading() as connection:
            rows = connection.execute(query.where(CaseRow.file.is_not(None)))
            return frozenset((str(row.file), row.image_sha256) for row in rows)

    def named_patients(self, source: str) -> Mapping[str, str]:
        """Return name within the data set -> pseudonym, of a source's images of known patients."""
        query = select(CaseRow.file, CaseRow.patient).where(
            CaseRow.source == source, CaseRow.file.is_not(None), CaseRow.patient.is_not(None)
        )
        with self._reading() as connection:
            return {str(row.file): str(row.patient) for row in connection.execute(query)}

    def patient_ids(self, patient: str) -> tuple[int, ...]:
        """Return the ids of all cases of a patient (a pseudonym), ascending."""
        query = select(CaseRow.id).where(CaseRow.patient == patient, *self.access.conditions())
        with self._reading() as connection:
            return tuple(connection.scalars(query.order_by(CaseRow.id)))

    def matching(
        self, wanted: CaseFilter, known_absent: str | None = None
    ) -> npt.NDArray[np.int64]:
        """Ids of the cases that meet a filter, int64 (n,), ascending.

        Args:
            wanted: the filter.
            known_absent: a finding whose label must say that it is absent (`conditions`).

        Raises:
            UnknownFinding: it names a finding of no vocabulary and no case.
        """
        self.check(wanted)
        query = select(CaseRow.id).where(
            *conditions(wanted, known_absent), *self.access.conditions()
        )
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query.order_by(CaseRow.id)), np.int64)

    def check(self, wanted: CaseFilter) -> None:
        """Refuse a filter with a finding that is in no vocabulary and no case.

        Raises:
            UnknownFinding: names the value and the accepted ones.
        """
        known = self.vocabulary(wanted.findings)
        for finding in sorted(wanted.findings):
            known_finding(finding, known)

    def vocabulary(self, named: Collection[str]) -> frozenset[str]:
        """Return `xemplar.data.findings.VOCABULARY` and the findings of the cases.

        Args:
            named: findings to look for; the database is queried only if one is not in `VOCABULARY`.
        """
        if VOCABULARY.issuperset(named):
            return VOCABULARY
        query = select(FindingRow.finding).distinct()
        if self.access.sources is not None:
            query = query.join(CaseRow, CaseRow.id == FindingRow.case)
            query = query.where(*self.access.conditions())
        with self._reading() as connection:
            return VOCABULARY.union(connection.scalars(query))

    def embedded(self, checkpoint: str) -> frozenset[str]:
        """Return the digests of the images that a checkpoint has embedded."""
        with self._reading() as connection:
            query = select(CaseRow.image_sha256).join(EmbeddingRow, EmbeddingRow.case == CaseRow.id)
            rows = connection.scalars(query.where(EmbeddingRow.checkpoint == checkpoint))
            return frozenset(rows)

    def embedded_ids(self, checkpoint: str, since: int | None = None) -> npt.NDArray[np.int64]:
        """Return the ids of the cases that a checkpoint has embedded, int64 (n,), ascending.

        Args:
            checkpoint: its digest.
            since: only those added after this change (`version`).
        """
        query = select(EmbeddingRow.case).where(EmbeddingRow.checkpoint == checkpoint)
        if since is not None:
            query = query.where(later(EmbeddingRow.change, since))
        # sorted here: to spare a sort, a database might read all cases in order instead
        with self._reading() as connection:
            return np.sort(np.fromiter(connection.scalars(query), np.int64))

    def described_ids(self, since: int) -> npt.NDArray[np.int64]:
        """Return the ids of existing cases whose metadata changed after a change, int64 (n,)."""
        query = select(CaseRow.id).where(later(CaseRow.change, since))
        with self._reading() as connection:
            return np.sort(np.fromiter(connection.scalars(query), np.int64))

    def page(
        self,
        checkpoint: str,
        wanted: CaseFilter | None = None,
        *,
        after: int = 0,
        limit: int = 50,
    ) -> tuple[Case, ...]:
        """Return the next cases that a checkpoint has embedded, in order of ids.

        Args:
            checkpoint: its digest.
            wanted: filter; None for all cases.
            after: id of the last case of the previous page.
            limit: maximum number of cases.

        Raises:
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        wanted = wanted or CaseFilter()
        self.check(wanted)
        embedded = (EmbeddingRow.case == CaseRow.id) & (EmbeddingRow.checkpoint == checkpoint)
        query = select(EmbeddingRow.case).join(CaseRow, embedded)
        query = query.where(*conditions(wanted), *self.access.conditions())
        # by the embeddings' column: their index has the order, and ends the page early
        query = query.where(EmbeddingRow.case > after).order_by(EmbeddingRow.case).limit(limit)
        # within one statement: a page that a removal made shorter would seem to be the last one
        with self._reading() as connection:
            rows = connection.execute(select_cases().where(CaseRow.id.in_(query)))
            return tuple(cases_of(rows))

    def not_embedded(self, checkpoint: str) -> npt.NDArray[np.int64]:
        """Return the ids of the cases that a checkpoint has not embedded, int64 (n,), ascending."""
        done = exists().where(
            EmbeddingRow.case == CaseRow.id, EmbeddingRow.checkpoint == checkpoint
        )
        query = select(CaseRow.id).where(~done).order_by(CaseRow.id)
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query), np.int64)

    def version(self) -> int:
        """Return the number of the last change to the cases; cheap enough to poll each second.

        Later reads include all changes up to it, and possibly newer ones.
        """
        with self._reading() as connection:
            return last_change(connection)

    def count(self, checkpoint: str | None = None) -> int:
        """Count all cases, or those that a checkpoint has embedded."""
        query = select(func.count()).select_from(CaseRow)
        if checkpoint is not None:
            embedded = select(func.count()).select_from(EmbeddingRow)
            query = embedded.where(EmbeddingRow.checkpoint == checkpoint)
        with self._reading() as connection:
            return connection.scalar(query) or 0

    def finding_counts(self) -> Mapping[str, int]:
        """Count the cases in which each finding is present, "No Finding" included."""
        query = select(FindingRow.finding, func.count()).group_by(FindingRow.finding)
        if self.access.sources is not None:
            query = query.join(CaseRow, CaseRow.id == FindingRow.case)
            query = query.where(*self.access.conditions())
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def vectors(self, checkpoint: str, size: int = 1024) -> Iterator[Batch]:
        """Yield all embeddings of a checkpoint in order of ids, ``size`` cases at a time.

        Each batch is a separate query: memory holds one batch and all ids, and no transaction stays
        open.

        Raises:
            CorruptArtefact: the shapes of stored arrays differ between batches.
        """
        shape, ids = None, self.embedded_ids(checkpoint)
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            # a range, as a database without statistics might sort all that remain for a LIMIT
            where = EmbeddingRow.case.between(int(some[0]), int(some[-1]))
            batch = self._batch(checkpoint, where)
            if batch is None:
                continue
            if shape not in (None, (batch.vectors.shape[1], batch.cams.shape[1:])):
                raise CorruptArtefact(f"embeddings of {checkpoint[:12]} differ in shape: {shape}")
            shape = (batch.vectors.shape[1], batch.cams.shape[1:])
            yield batch

    def vectors_of(self, checkpoint: str, ids: Sequence[int], size: int = 1024) -> Iterator[Batch]:
        """Yield a checkpoint's embeddings of the given cases; removed cases are skipped.

        Args:
            checkpoint: its digest.
            ids: of the cases, ascending.
            size: number of cases per batch.
        """
        for start in range(0, len(ids), size):
            some = [int(number) for number in ids[start : start + size]]
            batch = self._batch(checkpoint, EmbeddingRow.case.in_(some))
            if batch is not None:
                yield batch

    def removed(self, since: int = 0) -> frozenset[int]:
        """Return the ids of cases removed after a change; older generations may still hold them."""
        query = select(RemovalRow.case).where(later(RemovalRow.change, since))
        with self._reading() as connection:
            return frozenset(connection.scalars(query))

    def removal_times(self) -> Mapping[int, datetime]:
        """Return the removal time (UTC) of each removed case, by its id."""
        query = select(RemovalRow.case, RemovalRow.removed_at)
        with self._reading() as connection:
            return {row.case: row.removed_at for row in connection.execute(query)}

    def removed_pictures(self) -> tuple[str, ...]:
        """Return the digests of removed images whose pictures are still to be deleted."""
        query = select(RemovalRow.image_sha256).where(RemovalRow.image_sha256.is_not(None))
        if self.access.sources is not None:
            query = query.where(RemovalRow.source.in_(sorted(self.access.sources)))
        with self._reading() as connection:
            return tuple(sha256 for sha256 in connection.scalars(query) if sha256)

    def _batch(self, checkpoint: str, where: ColumnElement[bool]) -> Batch | None:
        """Read a checkpoint's embeddings of some cases; None if none are left."""
        columns = (EmbeddingRow.case, EmbeddingRow.vector, EmbeddingRow.logits, EmbeddingRow.cams)
        query = select(*columns).where(EmbeddingRow.checkpoint == checkpoint, where)
        with self._reading() as connection:
            rows = sorted(connection.execute(query), key=lambda row: row.case)
        return batch_of(rows) if rows else None

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine)
