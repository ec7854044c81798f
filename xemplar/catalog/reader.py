"""`CatalogReader`: every question put to the database about cases and their embeddings."""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, Select, func, select
from sqlalchemy.orm import Session

from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.case import Batch, Case, case_elsewhere, case_id_of, case_id_taken
from xemplar.catalog.filters import CaseFilter
from xemplar.catalog.rows import batch_of, case_of
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import CaseRow, ChangeRow, EmbeddingRow, FindingRow, RemovalRow
from xemplar.data.findings import VOCABULARY, known_finding
from xemplar.errors import CorruptArtefact, NotFound


class CatalogReader:
    """The half of a `Catalog` that changes nothing. Safe to share between threads.

    What it says of cases keeps to its `Access`. What it says of embeddings does not: an index is
    made of all cases.

    Attributes:
        access: limits of whoever asks; none at first.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.access = EVERYTHING

    def bound(self, access: Access) -> Self:
        """The same catalog within a caller's limits: what lies beyond them does not exist."""
        if access == self.access:
            return self
        bound = copy.copy(self)
        bound.access = access
        return bound

    @property
    def engine(self) -> Engine:
        """For those who keep tables of their own in the same database, such as `Jobs`."""
        return self._engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def case(self, case_id: str) -> Case:
        """One case by its public name.

        Raises:
            NotFound: there is none.
        """
        found = self.find(case_id)
        if found is None:
            raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
        return found

    def find(self, case_id: str) -> Case | None:
        """One case by its public name, if there is one."""
        query = select(CaseRow).where(CaseRow.case_id == case_id, *self.access.conditions())
        with self._reading() as connection, Session(connection) as session:
            row = session.scalar(query)
            return None if row is None else case_of(row)

    def find_image(self, image_sha256: str) -> Case | None:
        """The case that an image is, by the sha256 hex digest of its bytes, if it is one.

        Raises:
            CaseIdTaken: another image has its case id.
            CaseElsewhere: the case is beyond the caller's limits.
        """
        case = self.bound(EVERYTHING).find(case_id_of(image_sha256))
        if case is not None and case.image_sha256 != image_sha256:
            raise case_id_taken(case.case_id)
        if case is not None and not self.access.sees(case.source):
            raise case_elsewhere()
        return case

    def cases(self, ids: Iterable[int]) -> Mapping[int, Case]:
        """Cases by their ids, in one query; ids of removed cases are missing from the answer."""
        wanted = [int(number) for number in ids]
        query = select(CaseRow).where(CaseRow.id.in_(wanted), *self.access.conditions())
        with self._reading() as connection, Session(connection) as session:
            return {row.id: case_of(row) for row in session.scalars(query)}

    def named_images(self, source: str) -> frozenset[tuple[str, str]]:
        """(name within the data set, image digest) of a source's radiographs that have a name."""
        query = select(CaseRow.file, CaseRow.image_sha256).where(CaseRow.source == source)
        with self._reading() as connection:
            rows = connection.execute(query.where(CaseRow.file.is_not(None)))
            return frozenset((str(row.file), row.image_sha256) for row in rows)

    def patient_ids(self, patient: str) -> tuple[int, ...]:
        """Ids of all cases of a patient (a pseudonym), ascending."""
        query = select(CaseRow.id).where(CaseRow.patient == patient, *self.access.conditions())
        with self._reading() as connection:
            return tuple(connection.scalars(query.order_by(CaseRow.id)))

    def matching(self, wanted: CaseFilter) -> npt.NDArray[np.int64]:
        """Ids of the cases that a filter means, int64 (n,), ascending.

        Raises:
            UnknownFinding: it names a finding of no vocabulary and no case.
        """
        self.check(wanted)
        query = select(CaseRow.id).where(*wanted.conditions(), *self.access.conditions())
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query.order_by(CaseRow.id)), np.int64)

    def seen(self) -> npt.NDArray[np.int64] | None:
        """Ids of the cases within the caller's limits, int64 (n,), ascending; None: all are."""
        return None if self.access.sources is None else self.matching(CaseFilter())

    def check(self, wanted: CaseFilter) -> None:
        """Refuse a filter that names a finding of no vocabulary and no case.

        Raises:
            UnknownFinding: naming the value and all that would be accepted.
        """
        known = self.vocabulary(wanted.findings)
        for finding in sorted(wanted.findings):
            known_finding(finding, known)

    def vocabulary(self, named: Collection[str]) -> frozenset[str]:
        """`xemplar.data.findings.VOCABULARY`, and the findings that a case has.

        Args:
            named: the database is asked only if these are not all in the former.
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
        """Image digests of the radiographs that a checkpoint has embedded."""
        with self._reading() as connection:
            query = select(CaseRow.image_sha256).join(EmbeddingRow, EmbeddingRow.case == CaseRow.id)
            rows = connection.scalars(query.where(EmbeddingRow.checkpoint == checkpoint))
            return frozenset(rows)

    def embedded_ids(self, checkpoint: str, since: int | None = None) -> npt.NDArray[np.int64]:
        """Ids of the cases that a checkpoint has embedded, int64 (n,), ascending.

        Args:
            checkpoint: its digest.
            since: only those that came after this change (`version`).
        """
        query = select(EmbeddingRow.case).where(EmbeddingRow.checkpoint == checkpoint)
        if since is not None:
            query = query.where(EmbeddingRow.change > since)
        with self._reading() as connection:
            rows = connection.scalars(query.order_by(EmbeddingRow.case))
            return np.fromiter(rows, np.int64)

    def page(
        self,
        checkpoint: str,
        wanted: CaseFilter | None = None,
        *,
        after: int = 0,
        limit: int = 50,
    ) -> tuple[Case, ...]:
        """The next cases that a checkpoint has embedded, in the order of ids.

        Args:
            checkpoint: its digest.
            wanted: which cases; None for all.
            after: id of the last case of the page before.
            limit: how many at most.

        Raises:
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        wanted = wanted or CaseFilter()
        self.check(wanted)
        embedded = (EmbeddingRow.case == CaseRow.id) & (EmbeddingRow.checkpoint == checkpoint)
        query = select(CaseRow).join(EmbeddingRow, embedded)
        query = query.where(*wanted.conditions(), *self.access.conditions())
        query = query.where(CaseRow.id > after).order_by(CaseRow.id).limit(limit)
        with self._reading() as connection, Session(connection) as session:
            return tuple(map(case_of, session.scalars(query)))

    def not_embedded(self, checkpoint: str) -> npt.NDArray[np.int64]:
        """Ids of the cases that a checkpoint has not embedded, int64 (n,), ascending."""
        done = select(EmbeddingRow.case).where(EmbeddingRow.checkpoint == checkpoint)
        query = select(CaseRow.id).where(CaseRow.id.not_in(done)).order_by(CaseRow.id)
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query), np.int64)

    def version(self) -> int:
        """Number of the last change that made embeddings come or go; cheap to ask each second.

        What is read afterwards holds all changes up to it, and perhaps later ones.
        """
        with self._reading() as connection:
            return connection.execute(select(ChangeRow.number)).scalar_one()

    def count(self, checkpoint: str | None = None) -> int:
        """How many cases there are, or how many a checkpoint has embedded."""
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
        """All that a checkpoint embedded, in the order of ids, ``size`` cases at a time.

        Each batch is a query of its own, so memory holds one batch and no transaction stays open.

        Raises:
            CorruptArtefact: stored arrays have another shape than the ones before.
        """
        after, shape = -1, None
        while True:
            query = _embeddings(checkpoint).where(EmbeddingRow.case > after).limit(size)
            with self._reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            batch = batch_of(rows)
            if shape not in (None, (batch.vectors.shape[1], batch.cams.shape[1:])):
                raise CorruptArtefact(f"embeddings of {checkpoint[:12]} differ in shape: {shape}")
            shape = (batch.vectors.shape[1], batch.cams.shape[1:])
            after = int(batch.ids[-1])
            yield batch

    def vectors_of(self, checkpoint: str, ids: Sequence[int], size: int = 1024) -> Iterator[Batch]:
        """What a checkpoint embedded of some cases; those that were removed are left out.

        Args:
            checkpoint: its digest.
            ids: of the cases, ascending.
            size: how many are read at a time.
        """
        for start in range(0, len(ids), size):
            some = [int(number) for number in ids[start : start + size]]
            with self._reading() as connection:
                query = _embeddings(checkpoint).where(EmbeddingRow.case.in_(some))
                rows = connection.execute(query).all()
            if rows:
                yield batch_of(rows)

    def removed(self, since: int = 0) -> frozenset[int]:
        """Ids of the cases that were removed after a change; older generations may hold them."""
        query = select(RemovalRow.case).where(RemovalRow.change > since)
        with self._reading() as connection:
            return frozenset(connection.scalars(query))

    def removal_times(self) -> Mapping[int, datetime]:
        """When each removed case was removed (UTC), by its id."""
        query = select(RemovalRow.case, RemovalRow.removed_at)
        with self._reading() as connection:
            return {row.case: row.removed_at for row in connection.execute(query)}

    def removed_pictures(self) -> tuple[str, ...]:
        """Image digests of the removed radiographs whose pictures are still to be deleted."""
        query = select(RemovalRow.image_sha256).where(RemovalRow.image_sha256.is_not(None))
        if self.access.sources is not None:
            query = query.where(RemovalRow.source.in_(sorted(self.access.sources)))
        with self._reading() as connection:
            return tuple(sha256 for sha256 in connection.scalars(query) if sha256)

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine)


def _embeddings(checkpoint: str) -> "Select[int, bytes, bytes, bytes]":
    """All of a checkpoint's, in the order of ids, as `batch_of` takes them."""
    columns = (EmbeddingRow.case, EmbeddingRow.vector, EmbeddingRow.logits, EmbeddingRow.cams)
    query = select(*columns).where(EmbeddingRow.checkpoint == checkpoint)
    return query.order_by(EmbeddingRow.case)
