"""`Catalog`: every question put to the database, and every change of it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    Connection,
    Engine,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from xemplar.catalog.case import Batch, Case, Description, Entry, GenerationRecord
from xemplar.catalog.filters import VOCABULARY, CaseFilter
from xemplar.catalog.rows import (
    DESCRIBED,
    batch_of,
    case_fields,
    case_of,
    check_entry,
    description_fields,
    embedding_fields,
)
from xemplar.catalog.schema import check, connect, reading, writing
from xemplar.catalog.tables import (
    CaseRow,
    EmbeddingRow,
    FindingRow,
    GenerationRow,
    RemovalRow,
)
from xemplar.errors import CorruptArtefact, NotFound, UnknownFinding
from xemplar.findings import positives


def open_catalog(url: str) -> "Catalog":
    """Open a catalog whose schema is up to date (see `migrate`).

    Raises:
        ConfigurationError: there is none.
        DatabaseUnreachable: its database cannot be reached.
        Mismatch: its schema is older or newer than this software's.
    """
    engine = connect(url)
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Catalog(engine)


class Catalog:
    """The cases and their embeddings: the truth that index generations are derived from.

    Safe to share between threads. Every change is one transaction.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

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

    # ---- changes ----------------------------------------------------------------------------

    def add(
        self,
        checkpoint: str,
        entries: Sequence[Entry],
        described: Iterable[tuple[str, Description]] = (),
    ) -> None:
        """Put films and their embeddings in, in one transaction. Repeating it changes nothing.

        A film that is there already (by the digest of its bytes) keeps its id, and takes over
        what the newer data set says of it, unless that is a plain folder, which says nothing.

        Args:
            checkpoint: digest of the checkpoint that made the embeddings.
            entries: new films, or films new to this checkpoint.
            described: after them, (image digest, description) of films that need no embedding.

        Raises:
            InvalidArgument: an entry's arrays have the wrong shape, or are not finite.
        """
        newest = {entry.image_sha256: entry for entry in entries}
        for entry in newest.values():
            check_entry(entry)
        descriptions = [
            description_fields(d) | {"sha256": s} for s, d in described if d.file is not None
        ]
        with self._writing() as connection:
            if newest:
                ids = self._put_cases(connection, list(newest.values()))
                by_id = {ids[digest]: entry for digest, entry in newest.items()}
                self._put_embeddings(connection, checkpoint, by_id)
            if descriptions:
                statement = (
                    update(CaseRow.__table__)  # type: ignore[arg-type]  # it is a Table
                    .where(CaseRow.image_sha256 == bindparam("sha256"))
                    .values(
                        {name: bindparam(name) for name in DESCRIBED}
                        | {"view": func.coalesce(bindparam("view"), CaseRow.view)}
                    )
                )
                connection.execute(statement, descriptions)
                self._put_findings(connection, [fields["sha256"] for fields in descriptions])

    def remove(self, case_ids: Collection[str]) -> int:
        """Forget cases and their embeddings; returns how many there were.

        Published generations still hold their vectors, which `removed` lists for them.
        """
        with self._writing() as connection:
            query = select(CaseRow.id, CaseRow.image_sha256).where(CaseRow.case_id.in_(case_ids))
            found = connection.execute(query.with_for_update()).all()
            if found:
                now = datetime.now(UTC)
                rows = [
                    {"case": row.id, "removed_at": now, "image_sha256": row.image_sha256}
                    for row in found
                ]
                connection.execute(insert(RemovalRow), rows)
                connection.execute(delete(CaseRow).where(CaseRow.id.in_([r.id for r in found])))
            return len(found)

    def removed_pictures(self) -> tuple[str, ...]:
        """Image digests of the removed films whose pictures are still to be deleted."""
        query = select(RemovalRow.image_sha256).where(RemovalRow.image_sha256.is_not(None))
        with self._reading() as connection:
            return tuple(sha256 for sha256 in connection.scalars(query) if sha256)

    def delete_removed_picture(self, sha256: str, delete_files: Callable[[str], None]) -> None:
        """Delete a removed film's pictures, unless it has come back as a new case.

        The rows are held until the files are gone, and `add` waits for them: a film that comes
        back at the same time finds either all its pictures or none.
        """
        mine = RemovalRow.image_sha256 == sha256
        with self._writing() as connection:
            if not connection.scalars(select(RemovalRow.case).where(mine).with_for_update()).all():
                return
            back = select(CaseRow.id).where(CaseRow.image_sha256 == sha256)
            if connection.scalar(back) is None:
                delete_files(sha256)
            connection.execute(update(RemovalRow).where(mine).values(image_sha256=None))

    def describe(self, case_id: str, fields: Mapping[str, Any]) -> None:
        """Change what is known of a case; what is not named stays.

        Args:
            case_id: its public name.
            fields: some of a `Description`'s, by name.

        Raises:
            NotFound: there is no such case.
        """
        with self._writing() as connection:
            query = select(CaseRow.image_sha256).where(CaseRow.case_id == case_id)
            sha256 = connection.scalar(query.with_for_update())
            if sha256 is None:
                raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
            if fields:
                connection.execute(
                    update(CaseRow).where(CaseRow.image_sha256 == sha256).values(**fields)
                )
                self._put_findings(connection, [sha256])

    def put_embeddings(self, checkpoint: str, entries: Mapping[int, Entry]) -> None:
        """Keep what another checkpoint made of cases that are there, by their ids.

        A case that was removed meanwhile does not come back.

        Raises:
            InvalidArgument: an entry's arrays have the wrong shape, or are not finite.
        """
        for entry in entries.values():
            check_entry(entry)
        with self._writing() as connection:
            query = select(CaseRow.id).where(CaseRow.id.in_(entries)).with_for_update()
            there = {number: entries[number] for number in connection.scalars(query)}
            if there:
                self._put_embeddings(connection, checkpoint, there)

    def record(self, generation: GenerationRecord) -> None:
        """Remember an index generation; a later record of the same name replaces it."""
        fields = {name: getattr(generation, name) for name in GenerationRecord.__annotations__}
        statement = self._insert(GenerationRow).values(fields)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=fields)
        with self._writing() as connection:
            connection.execute(statement)

    def record_published(self, name: str) -> None:
        """Remember that a generation has just been made the live one."""
        with self._writing() as connection:
            connection.execute(
                update(GenerationRow)
                .where(GenerationRow.name == name)
                .values(published_at=datetime.now(UTC))
            )

    # ---- questions --------------------------------------------------------------------------

    def case(self, case_id: str) -> Case:
        """One case by its public name.

        Raises:
            NotFound: there is none.
        """
        with self._reading() as connection, Session(connection) as session:
            row = session.scalar(select(CaseRow).where(CaseRow.case_id == case_id))
            if row is None:
                raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
            return case_of(row)

    def cases(self, ids: Iterable[int]) -> Mapping[int, Case]:
        """Cases by their ids, in one query; ids of removed cases are missing from the answer."""
        wanted = [int(number) for number in ids]
        with self._reading() as connection, Session(connection) as session:
            rows = session.scalars(select(CaseRow).where(CaseRow.id.in_(wanted)))
            return {row.id: case_of(row) for row in rows}

    def patient_ids(self, patient: str) -> tuple[int, ...]:
        """Ids of all cases of a patient (a pseudonym), ascending."""
        with self._reading() as connection:
            query = select(CaseRow.id).where(CaseRow.patient == patient).order_by(CaseRow.id)
            return tuple(connection.scalars(query))

    def matching(self, wanted: CaseFilter) -> npt.NDArray[np.int64]:
        """Ids of the cases that a filter means, int64 (n,), ascending.

        Raises:
            UnknownFinding: it names a finding of no vocabulary and no case.
        """
        self.check(wanted)
        query = select(CaseRow.id).where(*wanted.conditions()).order_by(CaseRow.id)
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query), np.int64)

    def check(self, wanted: CaseFilter) -> None:
        """Refuse a filter that names a finding of no vocabulary and no case.

        Raises:
            UnknownFinding: naming the value and all that would be accepted.
        """
        if wanted.findings <= VOCABULARY:
            return
        with self._reading() as connection:
            known = VOCABULARY.union(connection.scalars(select(FindingRow.finding).distinct()))
        unknown = sorted(wanted.findings - known)
        if unknown:
            raise UnknownFinding(
                f"unknown finding {unknown[0][:60]!r}; known here: {', '.join(sorted(known))}"
            )

    def embedded(self, checkpoint: str) -> frozenset[str]:
        """Image digests of the films that a checkpoint has embedded."""
        with self._reading() as connection:
            query = select(CaseRow.image_sha256).join(EmbeddingRow, EmbeddingRow.case == CaseRow.id)
            rows = connection.scalars(query.where(EmbeddingRow.checkpoint == checkpoint))
            return frozenset(rows)

    def embedded_ids(self, checkpoint: str) -> npt.NDArray[np.int64]:
        """Ids of the cases that a checkpoint has embedded, int64 (n,), ascending."""
        query = select(EmbeddingRow.case).where(EmbeddingRow.checkpoint == checkpoint)
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
        query = select(CaseRow).join(EmbeddingRow, embedded).where(*wanted.conditions())
        query = query.where(CaseRow.id > after).order_by(CaseRow.id).limit(limit)
        with self._reading() as connection, Session(connection) as session:
            return tuple(map(case_of, session.scalars(query)))

    def not_embedded(self, checkpoint: str) -> npt.NDArray[np.int64]:
        """Ids of the cases that a checkpoint has not embedded, int64 (n,), ascending."""
        done = select(EmbeddingRow.case).where(EmbeddingRow.checkpoint == checkpoint)
        query = select(CaseRow.id).where(CaseRow.id.not_in(done)).order_by(CaseRow.id)
        with self._reading() as connection:
            return np.fromiter(connection.scalars(query), np.int64)

    def version(self, checkpoint: str) -> tuple[int, int]:
        """Changes whenever a checkpoint's embeddings come or go; cheap enough to ask each second.

        Embeddings go only with their case, and each removal is kept: so two counts tell all.
        """
        embedded = select(func.count()).where(EmbeddingRow.checkpoint == checkpoint)
        removed = select(func.count()).select_from(RemovalRow)
        with self._reading() as connection:
            row = connection.execute(
                select(embedded.scalar_subquery(), removed.scalar_subquery())
            ).one()
            return int(row[0]), int(row[1])

    def count(self, checkpoint: str | None = None) -> int:
        """How many cases there are, or how many a checkpoint has embedded."""
        query = select(func.count()).select_from(CaseRow)
        if checkpoint is not None:
            embedded = select(func.count()).select_from(EmbeddingRow)
            query = embedded.where(EmbeddingRow.checkpoint == checkpoint)
        with self._reading() as connection:
            return connection.scalar(query) or 0

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

    def removed(self) -> frozenset[int]:
        """Ids of all cases that were removed, which older generations may still hold."""
        with self._reading() as connection:
            return frozenset(connection.scalars(select(RemovalRow.case)))

    def generations(self) -> tuple[GenerationRecord, ...]:
        """All generations that were recorded, oldest first."""
        with self._reading() as connection, Session(connection) as session:
            rows = session.scalars(select(GenerationRow).order_by(GenerationRow.name))
            names = GenerationRecord.__annotations__
            return tuple(GenerationRecord(**{n: getattr(row, n) for n in names}) for row in rows)

    # ---- inside -----------------------------------------------------------------------------

    def _put_cases(self, connection: Connection, entries: Sequence[Entry]) -> Mapping[str, int]:
        """Insert or describe anew; returns image digest -> id."""
        statement = self._insert(CaseRow)
        newer = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["image_sha256"],
            set_={name: newer[name] for name in DESCRIBED}
            | {"view": func.coalesce(newer.view, CaseRow.view)},
            where=newer.file.is_not(None),
        )
        connection.execute(statement, [case_fields(entry) for entry in entries])
        digests = [entry.image_sha256 for entry in entries]
        # a film that was removed has come back: its pictures stay
        came_back = update(RemovalRow).where(RemovalRow.image_sha256.in_(digests))
        connection.execute(came_back.values(image_sha256=None))
        return self._put_findings(connection, digests)

    def _put_findings(self, connection: Connection, digests: Sequence[str]) -> Mapping[str, int]:
        """Let `FindingRow` say what the labels of these films say; returns image digest -> id."""
        query = select(CaseRow.image_sha256, CaseRow.id, CaseRow.labels)
        found = connection.execute(query.where(CaseRow.image_sha256.in_(digests))).all()
        numbers = [row.id for row in found]
        connection.execute(delete(FindingRow).where(FindingRow.case.in_(numbers)))
        rows = [
            {"case": row.id, "finding": finding}
            for row in found
            for finding in positives(row.labels)
        ]
        if rows:
            connection.execute(insert(FindingRow), rows)
        return {row.image_sha256: row.id for row in found}

    def _put_embeddings(
        self, connection: Connection, checkpoint: str, entries: Mapping[int, Entry]
    ) -> None:
        statement = self._insert(EmbeddingRow)
        newer = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["case", "checkpoint"],
                set_={"vector": newer.vector, "logits": newer.logits, "cams": newer.cams},
            ),
            [
                {"case": number, "checkpoint": checkpoint} | embedding_fields(entry)
                for number, entry in entries.items()
            ],
        )

    def _writing(self) -> AbstractContextManager[Connection]:
        return writing(self._engine)

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine)


def _embeddings(checkpoint: str) -> "Select[int, bytes, bytes, bytes]":
    """All of a checkpoint's, in the order of ids, as `batch_of` takes them."""
    columns = (EmbeddingRow.case, EmbeddingRow.vector, EmbeddingRow.logits, EmbeddingRow.cams)
    query = select(*columns).where(EmbeddingRow.checkpoint == checkpoint)
    return query.order_by(EmbeddingRow.case)
