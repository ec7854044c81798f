"""`Catalog`: every question put to the database, and every change of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from xemplar.catalog.case import Batch, Case, Description, Entry, GenerationRecord
from xemplar.catalog.rows import (
    DESCRIBED,
    batch_of,
    case_fields,
    case_of,
    check_entry,
    description_fields,
    embedding_fields,
)
from xemplar.catalog.schema import check, connect, unreachable
from xemplar.catalog.tables import (
    CaseRow,
    EmbeddingRow,
    FindingRow,
    GenerationRow,
    RemovalRow,
)
from xemplar.errors import CorruptArtefact, NotFound
from xemplar.findings import positives


def open_catalog(url: str) -> "Catalog":
    """Open a catalog whose schema is up to date (see `migrate`).

    Raises:
        ConfigurationError: there is none, or its database cannot be reached.
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
            query = select(CaseRow.id).where(CaseRow.case_id.in_(case_ids)).with_for_update()
            numbers = list(connection.scalars(query))
            if numbers:
                now = datetime.now(UTC)
                rows = [{"case": number, "removed_at": now} for number in numbers]
                connection.execute(insert(RemovalRow), rows)
                connection.execute(delete(CaseRow).where(CaseRow.id.in_(numbers)))
            return len(numbers)

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
            query = (
                select(EmbeddingRow.case, EmbeddingRow.vector, EmbeddingRow.logits)
                .add_columns(EmbeddingRow.cams)
                .where(EmbeddingRow.checkpoint == checkpoint, EmbeddingRow.case > after)
                .order_by(EmbeddingRow.case)
                .limit(size)
            )
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
        return self._put_findings(connection, [entry.image_sha256 for entry in entries])

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

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect().execution_options(write=True)
            with connection, connection.begin():
                yield connection
        except (InterfaceError, OperationalError) as error:
            raise unreachable(self._engine, error) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (InterfaceError, OperationalError) as error:
            raise unreachable(self._engine, error) from error
