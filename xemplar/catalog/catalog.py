"""`Catalog`: a `CatalogReader` that can also change the database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.catalog.access import EVERYTHING
from xemplar.catalog.case import Description, Entry, case_elsewhere, case_id_of, case_id_taken
from xemplar.catalog.changes import next_change, number_cases
from xemplar.catalog.courses import COURSE, TIMES, change_course, put_courses
from xemplar.catalog.patients import check_changes, record_change
from xemplar.catalog.reader import CatalogReader
from xemplar.catalog.references import put_references
from xemplar.catalog.removal import delete_cases, delete_uses, redact_audit_trail
from xemplar.catalog.rows import (
    DESCRIBED,
    case_fields,
    check_entry,
    description_fields,
    embedding_fields,
    parts,
)
from xemplar.catalog.schema import check, connect, reading, writing
from xemplar.catalog.sqlite import truncate_log
from xemplar.catalog.tables import (
    CaseRow,
    EmbeddingRow,
    FindingRow,
    RemovalRow,
)
from xemplar.data.findings import positives
from xemplar.errors import NotFound


def open_catalog(database: str | Engine) -> "Catalog":
    """Open a catalog whose schema is up to date (see `migrate`).

    Args:
        database: its SQLAlchemy URL, or an engine that is shared; closing the catalog disposes it.

    Raises:
        ConfigurationError: there is no catalog.
        DatabaseUnreachable: its database cannot be reached.
        Mismatch: its schema is older or newer than this software's.
    """
    engine = connect(database) if isinstance(database, str) else database
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Catalog(engine)


_IN_HEADER = (("view", CaseRow.view), ("sex", CaseRow.sex), ("age", CaseRow.age))
"""Metadata that the image's header can provide where its data set does not."""


class Catalog(CatalogReader):
    """Cases and their embeddings, from which index generations are derived.

    Safe to share between threads. Every change is one transaction within the catalog's `Access`.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

    def add(
        self,
        checkpoint: str,
        entries: Sequence[Entry],
        described: Sequence[tuple[str, Description]] = (),
        references: Mapping[str, bytes] = MappingProxyType({}),
    ) -> frozenset[str]:
        """Add images and their embeddings in one idempotent transaction.

        An image that already exists (by the digest of its bytes) keeps its id and takes the
        metadata of the newer data set, unless that is a plain folder, which has none. A view, sex
        or age that the newer data set leaves open is kept, as it may come from the image's header.

        Args:
            checkpoint: digest of the checkpoint that made the embeddings.
            entries: new images, or images new to this checkpoint.
            described: (image digest, description) of images that are embedded already.
            references: image digest -> sealed reference to its study, of any of these.

        Returns:
            Digests of the images that were not cases before. If several processes add the same
            image concurrently, only one of them gets its digest.

        Raises:
            CaseIdTaken: the case id of one of these belongs to another image; nothing is added.
            InvalidArgument: an entry's arrays have the wrong shape or are not finite; this,
                CaseElsewhere, TooManyPatientChanges: see `check_addition`.
        """
        for source in {d.source for _, d in described} | {e.description.source for e in entries}:
            self.access.check_source(source)
        newest = {entry.image_sha256: entry for entry in entries}
        for entry in newest.values():
            check_entry(entry)
        kept = [(sha256, about) for sha256, about in described if about.file is not None]
        descriptions = [description_fields(about) | {"sha256": sha256} for sha256, about in kept]
        ids: Mapping[str, int] = {}
        new: frozenset[str] = frozenset()
        changed = set[int]()
        with writing(self._engine) as connection:
            if newest:
                ids, new = self._put_cases(connection, list(newest.values()))
                changed.update(number for digest, number in ids.items() if digest not in new)
            if descriptions:
                statement = (
                    update(CaseRow.__table__)  # type: ignore[arg-type]  # it is a Table
                    .where(CaseRow.image_sha256 == bindparam("sha256"), *self.access.conditions())
                    .values(
                        {name: bindparam(name) for name in DESCRIBED}
                        | {name: func.coalesce(bindparam(name), kept) for name, kept in _IN_HEADER}
                    )
                )
                connection.execute(statement, descriptions)
                digests = [fields["sha256"] for fields in descriptions]
                changed.update(self._put_findings(connection, digests).values())
            if newest or changed:
                change = next_change(connection)
                by_id = {ids[digest]: entry for digest, entry in newest.items()}
                self._put_embeddings(connection, checkpoint, by_id, change)
                number_cases(connection, changed, change)
            # a plain folder tells nothing of a known case
            told = {d: e.description for d, e in newest.items() if d in new or e.description.file}
            allowed = self.access.conditions()
            put_courses(connection, self._insert, told | dict(kept), allowed)
            put_references(connection, self._insert, references, allowed)
        return new

    def put_reference(self, image_sha256: str, reference: bytes) -> None:
        """Store the sealed reference of an image's case to its study, if there is the case."""
        with writing(self._engine) as connection:
            only = {image_sha256: reference}
            put_references(connection, self._insert, only, self.access.conditions())

    def check_addition(self, entry: Entry) -> None:
        """Refuse an image that `add` would refuse, before anything is written elsewhere.

        Raises:
            CaseIdTaken: its case id belongs to another image.
            InvalidArgument: its source is outside the caller's limits.
            CaseElsewhere: it is a case outside the caller's limits.
            TooManyPatientChanges: the patient of its case, removed since, was changed too often.
        """
        if self.access == EVERYTHING:
            return
        self.access.check_source(entry.description.source)
        known = self.find_image(entry.image_sha256)
        if known is None and self.access.writer is not None and entry.description.patient:
            with reading(self._engine) as connection:
                check_changes(connection, case_id_of(entry.image_sha256))

    def remove(self, case_ids: Collection[str]) -> int:
        """Remove cases and their embeddings.

        Returns the number removed.

        Published generations still hold their vectors; `removed` lists them. The audit trail keeps
        who did what with the cases, but no details of them (`redact_audit_trail`).
        """
        with writing(self._engine) as connection:
            found = self._lock(connection, case_ids)
            for some in parts(found):
                images = {case_id_of(row.image_sha256): row.image_sha256 for row in some}
                redact_audit_trail(connection, images)
                delete_uses(connection, images)
            if found:
                about = {"removed_at": datetime.now(UTC), "change": next_change(connection)}
                connection.execute(insert(RemovalRow), [{**row._mapping, **about} for row in found])
                delete_cases(connection, [row.case for row in found])
            return len(found)

    def _lock(self, connection: Connection, case_ids: Collection[str]) -> list[Row[int, str, str]]:
        """Lock cases in order of ids; return (case, image_sha256, source) of each."""
        allowed = self.access.conditions()
        query = select(CaseRow.id).where(*allowed)
        ids = [
            number
            for some in parts(case_ids)
            for number in connection.scalars(query.where(CaseRow.case_id.in_(some)))
        ]
        columns = (CaseRow.id.label("case"), CaseRow.image_sha256, CaseRow.source)
        locking = select(*columns).where(*allowed).order_by(CaseRow.id).with_for_update()
        return [
            row
            for some in parts(sorted(ids))
            for row in connection.execute(locking.where(CaseRow.id.in_(some)))
        ]

    def truncate_log(self) -> bool:
        """Empty SQLite's write-ahead log, which may still contain removed rows.

        Returns:
            False if the database was in use throughout. PostgreSQL manages its own log.
        """
        return self._engine.dialect.name != "sqlite" or truncate_log(self._engine)

    def delete_removed_picture(self, sha256: str, delete_files: Callable[[str], None]) -> None:
        """Delete a removed image's pictures, unless it was added again as a new case.

        The rows stay locked until the files are deleted, and `add` waits for them: an image that is
        added again at the same time finds either all of its pictures or none.
        """
        mine = RemovalRow.image_sha256 == sha256
        with writing(self._engine) as connection:
            if not connection.scalars(select(RemovalRow.case).where(mine).with_for_update()).all():
                return
            added_again = select(CaseRow.id).where(CaseRow.image_sha256 == sha256)
            if connection.scalar(added_again) is None:
                delete_files(sha256)
            connection.execute(
                update(RemovalRow).where(mine).values(image_sha256=None, source=None)
            )

    def delete_unknown_pictures(
        self, digests: Collection[str], delete_files: Callable[[str], None]
    ) -> None:
        """Delete the pictures of those images that are not cases."""
        for some in parts(digests):
            with writing(self._engine) as connection:
                query = select(CaseRow.image_sha256).where(CaseRow.image_sha256.in_(some))
                for sha256 in set(some).difference(connection.scalars(query)):
                    delete_files(sha256)

    def describe(self, case_id: str, fields: Mapping[str, Any]) -> Mapping[str, tuple[Any, Any]]:
        """Change metadata of a case; fields that are not given keep their values.

        Args:
            case_id: of the case.
            fields: new values by name, a subset of the fields of `Description`.

        Returns:
            (old, new) value of each changed field.

        Raises:
            NotFound: there is no such case.
            InvalidArgument: the new source is outside the caller's limits.
            TooManyPatientChanges: the patient was changed too often within a day.
        """
        course = {name: value for name, value in fields.items() if name in COURSE}
        fields = {name: value for name, value in fields.items() if name not in COURSE}
        always = {"id", "image_sha256", "patient", "age"}
        columns = [getattr(CaseRow, name) for name in fields.keys() | always]
        query = select(*columns).where(CaseRow.case_id == case_id)
        query = query.where(*self.access.conditions()).with_for_update()
        with writing(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
            if "source" in fields:
                self.access.check_source(fields["source"])
            self._count_change(connection, case_id, row["patient"], fields.get("patient"))
            if fields:
                mine = CaseRow.image_sha256 == row["image_sha256"]
                connection.execute(update(CaseRow).where(mine).values(**fields))
                self._put_findings(connection, [row["image_sha256"]])
            changed = {name: (row[name], new) for name, new in fields.items() if row[name] != new}
            if "patient" in changed:  # times are among one patient's studies
                course = dict.fromkeys(TIMES) | course
            if course or "age" in changed:
                age = fields.get("age", row["age"])
                changed |= change_course(connection, self._insert, row["id"], age, course)
            if changed:
                number_cases(connection, [row["id"]], next_change(connection))
        return changed

    def put_embeddings(self, checkpoint: str, entries: Mapping[int, Entry]) -> None:
        """Store another checkpoint's embeddings of existing cases, by their ids.

        Cases removed in the meantime are skipped.

        Raises:
            InvalidArgument: an entry's arrays have the wrong shape, or are not finite.
        """
        for entry in entries.values():
            check_entry(entry)
        with writing(self._engine) as connection:
            query = select(CaseRow.id).where(CaseRow.id.in_(entries)).with_for_update()
            there = {number: entries[number] for number in connection.scalars(query)}
            if there:
                self._put_embeddings(connection, checkpoint, there, next_change(connection))

    def _count_change(
        self, connection: Connection, case_id: str, before: str | None, after: str | None
    ) -> None:
        """Count a patient change if the caller's are limited.

        The current patient counts as well: otherwise a refusal would reveal who it is.
        """
        writer = self.access.writer
        if writer is not None and after is not None:
            check_changes(connection, case_id, writer)
            if after != before:
                record_change(connection, case_id, writer)

    def _put_cases(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> tuple[Mapping[str, int], frozenset[str]]:
        """Insert or update cases; return image digest -> id, and the digests of new images."""
        self._refuse_taken_ids(connection, {entry.image_sha256 for entry in entries})
        statement = self._insert(CaseRow)
        newer = statement.excluded
        fresh = statement.on_conflict_do_nothing(index_elements=["image_sha256"])
        rows = [case_fields(entry) for entry in entries]
        new = frozenset(connection.scalars(fresh.returning(CaseRow.image_sha256), rows))
        self._check_known(connection, {row["image_sha256"] for row in rows} - new)
        if self.access.writer is not None:
            for row in rows:
                if row["image_sha256"] in new and row["patient"] is not None:
                    check_changes(connection, row["case_id"])
                    record_change(connection, row["case_id"])
        statement = statement.on_conflict_do_update(
            index_elements=["image_sha256"],
            set_={name: newer[name] for name in DESCRIBED}
            | {name: func.coalesce(newer[name], kept) for name, kept in _IN_HEADER},
            where=newer.file.is_not(None),
        )
        known = [row for row in rows if row["image_sha256"] not in new]
        if known:
            connection.execute(statement, known)
        digests = [entry.image_sha256 for entry in entries]
        # a removed image was added again: keep its pictures
        added_again = update(RemovalRow).where(RemovalRow.image_sha256.in_(digests))
        connection.execute(added_again.values(image_sha256=None, source=None))
        return self._put_findings(connection, digests), new

    def _check_known(self, connection: Connection, digests: Collection[str]) -> None:
        """Refuse images that are cases outside the caller's limits."""
        if self.access.sources is None:
            return
        query = select(CaseRow.source).where(CaseRow.image_sha256.in_(digests))
        if not all(map(self.access.sees, connection.scalars(query))):
            raise case_elsewhere()

    def _refuse_taken_ids(self, connection: Connection, digests: Collection[str]) -> None:
        of_images = {case_id_of(sha256): sha256 for sha256 in digests}
        query = select(CaseRow.case_id, CaseRow.image_sha256).where(CaseRow.case_id.in_(of_images))
        for case_id, sha256 in connection.execute(query):
            if sha256 not in digests:
                raise case_id_taken(case_id)

    def _put_findings(self, connection: Connection, digests: Sequence[str]) -> Mapping[str, int]:
        """Update `FindingRow` from the labels of these images; return image digest -> id."""
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
        self, connection: Connection, checkpoint: str, entries: Mapping[int, Entry], change: int
    ) -> None:
        if not entries:
            return
        statement = self._insert(EmbeddingRow)
        newer = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["case", "checkpoint"],
                set_={"vector": newer.vector, "logits": newer.logits, "cams": newer.cams},
            ),
            [
                {"case": number, "checkpoint": checkpoint, "change": change}
                | embedding_fields(entry)
                for number, entry in entries.items()
            ],
        )
