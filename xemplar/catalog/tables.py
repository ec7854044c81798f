"""The catalog's tables. A change here needs a migration in ``migrations/versions``."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, column_property, mapped_column
from sqlalchemy.sql import column, select, table

from xemplar.catalog.table_base import Base, Number, UtcTime

_REPORTS = table("case_reports", column("case"))  # `ReportRow`, which is declared below


class CaseRow(Base):
    """An image; see `xemplar.catalog.Case` for the fields."""

    __tablename__ = "cases"
    # ids are FAISS ids and live on in older generations, so a removed case's id is never reused
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 -- SQLAlchemy's own convention

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    case_id: Mapped[str] = mapped_column(String(16), unique=True)
    image_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    source: Mapped[str] = mapped_column(String, index=True)
    file: Mapped[str | None] = mapped_column(String)
    patient: Mapped[str | None] = mapped_column(String(16), index=True)
    view: Mapped[str | None] = mapped_column(String)
    sex: Mapped[str | None] = mapped_column(String(1))
    age: Mapped[int | None]
    labels: Mapped[dict[str, int]] = mapped_column(JSON)
    split: Mapped[str | None] = mapped_column(String)
    width: Mapped[int]
    height: Mapped[int]
    spacing_row_mm: Mapped[float | None] = mapped_column(Double)
    spacing_column_mm: Mapped[float | None] = mapped_column(Double)
    photometric: Mapped[str | None] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    # number of the last change to the metadata of an existing case
    change: Mapped[int] = mapped_column(Number, server_default="0", index=True)
    # read with the case, as few archives have reports; for EXISTS, PostgreSQL may read all of them
    has_report: Mapped[bool] = column_property(
        select(_REPORTS.c.case)
        .where(_REPORTS.c.case == id)  # noqa: A003 -- the column
        .correlate_except(_REPORTS)
        .scalar_subquery()
        .is_not(None)
    )


class TimeRow(Base):
    """When a case's image was taken among its patient's; see `xemplar.catalog.courses`."""

    __tablename__ = "case_times"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    followup: Mapped[int | None]
    day: Mapped[int | None]
    shifted_day: Mapped[int | None]


class OutcomeRow(Base):
    """A verified outcome of a case; see `xemplar.data.outcomes`."""

    __tablename__ = "case_outcomes"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    diagnosis: Mapped[str] = mapped_column(String(40), primary_key=True)
    proof: Mapped[str] = mapped_column(String(20))
    days: Mapped[int | None]


class ReferenceRow(Base):
    """The study of a case in the hospital's archive, sealed; see `xemplar.retrieval.references`."""

    __tablename__ = "case_references"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class ReportRow(Base):
    """The scrubbed report of a case; see `xemplar.catalog.reports`."""

    __tablename__ = "case_reports"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    findings: Mapped[str] = mapped_column(Text)
    impression: Mapped[str] = mapped_column(Text)
    terms: Mapped[str] = mapped_column(Text)  # `xemplar.reports.terms`, indexed
    mined: Mapped[bool]  # whether the labels of the case were read from the report


class FetchedRow(Base):
    """An image or study that is fetched from an archive; see `xemplar.operations.fetched`."""

    __tablename__ = "fetched"

    digest: Mapped[str] = mapped_column(String(32), primary_key=True)  # keyed


class FindingRow(Base):
    """A finding present in a case, or "No Finding": `Case.findings`, to filter by."""

    __tablename__ = "case_findings"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    finding: Mapped[str] = mapped_column(String(100), primary_key=True, index=True)


class RemovalRow(Base):
    """Tombstone of a removed case, whose vector published generations still hold."""

    __tablename__ = "removals"

    case: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)
    removed_at: Mapped[datetime] = mapped_column(UtcTime)
    # the image whose pictures are still to be deleted; None once they are
    image_sha256: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str | None] = mapped_column(String)  # until then: which keys may ask again
    change: Mapped[int] = mapped_column(Number, index=True)


class EmbeddingRow(Base):
    """A checkpoint's outputs for a case. Arrays are little-endian, in C order."""

    __tablename__ = "embeddings"
    __table_args__ = (
        Index("ix_embeddings_checkpoint_case", "checkpoint", "case"),
        Index("ix_embeddings_checkpoint_change", "checkpoint", "change", "case"),
    )

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    checkpoint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # float32 (C,), unit length
    logits: Mapped[bytes] = mapped_column(LargeBinary)  # float32 (F,)
    cams: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (F, g, g)
    change: Mapped[int] = mapped_column(Number, server_default="0")


class ChangeRow(Base):
    """Single row with the number of the last change to embeddings or metadata.

    A transaction that adds, removes or describes cases takes the next number and locks the row
    until it ends. So numbers become visible in order, unlike those of a sequence.
    """

    __tablename__ = "last_change"

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)


class GenerationRow(Base):
    """A built index generation; the file CURRENT names the live one."""

    __tablename__ = "generations"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    checkpoint: Mapped[str] = mapped_column(String(64))
    preprocessing: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(Number)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcTime)


class JobRow(Base):
    """A background job; see `xemplar.operations.jobs.Job` for the fields."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), index=True)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    done: Mapped[int] = mapped_column(Number)
    total: Mapped[int | None] = mapped_column(Number)
    log: Mapped[list[str]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(String)
    attempts: Mapped[int]
    cancel: Mapped[bool]
    worker: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class RatingRow(Base):
    """A reader's rating of a case retrieved for an image; see `xemplar.operations.ratings`."""

    __tablename__ = "ratings"

    image_id: Mapped[str] = mapped_column(String(16), primary_key=True)  # of the query's image
    rater: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)
    case: Mapped[int] = mapped_column(
        Number,
        ForeignKey(CaseRow.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        index=True,
    )
    rating: Mapped[int]
    rated_at: Mapped[datetime] = mapped_column(UtcTime)


class EarlierRatingRow(Base):
    """A rating that its reader later changed or withdrew."""

    __tablename__ = "earlier_ratings"
    __table_args__ = (
        Index("ix_earlier_ratings_rater_image_id", "rater", "image_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    image_id: Mapped[str] = mapped_column(String(16), index=True)
    rater: Mapped[str] = mapped_column(String(32))
    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), index=True
    )
    rating: Mapped[int]
    rated_at: Mapped[datetime] = mapped_column(UtcTime)
    superseded_at: Mapped[datetime] = mapped_column(UtcTime)


class UnknownImageRow(Base):
    """A rated image that the service did not know."""

    __tablename__ = "unknown_images"

    image_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    rater: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)


class RaterRow(Base):
    """A reader's pseudonym and the key that owns it; see `xemplar.operations.raters`."""

    __tablename__ = "raters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str | None] = mapped_column(String(16), index=True)


class ReaderStudyRow(Base):
    """A reader study whose plan is locked; see `xemplar.operations.reader_studies`."""

    __tablename__ = "reader_studies"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime] = mapped_column(UtcTime)


class ReadingRow(Base):
    """A reader's answer about one film of a study; never changed."""

    __tablename__ = "readings"

    study: Mapped[str] = mapped_column(
        String(16), ForeignKey(ReaderStudyRow.id, ondelete="CASCADE"), primary_key=True
    )
    reader: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    confidence: Mapped[int]
    trust: Mapped[int | None]
    seconds: Mapped[float] = mapped_column(Double)
    read_at: Mapped[datetime] = mapped_column(UtcTime)


class KeyRow(Base):
    """An API key; the secret itself is not stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    sources: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # None: all
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class PatientChangeRow(Base):
    """A patient assigned to a case by a writer within the last day; see `xemplar.catalog.patients`.

    It outlives the case, so that removing and adding it again does not evade the limit.
    """

    __tablename__ = "patient_changes"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)  # random
    case_id: Mapped[str] = mapped_column(String(16), index=True)
    writer: Mapped[str | None] = mapped_column(String(16), index=True)  # None: with a new case
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class AuditRow(Base):
    """An audited request with its time and outcome; see `xemplar.operations.audit.AuditEntry`."""

    __tablename__ = "audit"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 -- SQLAlchemy's own convention

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    key: Mapped[str | None] = mapped_column(String(16))
    role: Mapped[str | None] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    subject: Mapped[str | None] = mapped_column(String(64), index=True)
    image_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    generation: Mapped[str | None] = mapped_column(String(64))
    results: Mapped[list[str]] = mapped_column(JSON)  # case ids, in their order
    count: Mapped[int] = mapped_column(server_default="1")
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class RememberedQueryRow(Base):
    """A query that may still be explained or repeated; see `xemplar.operations.queries`."""

    __tablename__ = "remembered_queries"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(16), index=True)
    key: Mapped[str | None] = mapped_column(String(16))  # that asked; None without keys
    shared: Mapped[bool]
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class CollectionRow(Base):
    """A reader's collection of cases and queries; see `xemplar.operations.collections`."""

    __tablename__ = "collections"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)  # random
    key: Mapped[str | None] = mapped_column(String(16), index=True)  # owner; None without keys
    shared: Mapped[bool]
    changed_at: Mapped[datetime] = mapped_column(UtcTime)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)  # name and note


class SavedQueryRow(Base):
    """A query that is in a collection, with its image, sealed."""

    __tablename__ = "saved_queries"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    image_id: Mapped[str] = mapped_column(String(16), index=True)
    saved_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class CollectionEntryRow(Base):
    """A case or a saved query in a collection: one of the two is set."""

    __tablename__ = "collection_entries"

    collection: Mapped[str] = mapped_column(
        String(16), ForeignKey(CollectionRow.id, ondelete="CASCADE"), primary_key=True
    )
    subject: Mapped[str] = mapped_column(String(16), primary_key=True)  # id of case or query
    case: Mapped[int | None] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), index=True
    )
    query: Mapped[str | None] = mapped_column(
        String(16), ForeignKey(SavedQueryRow.id, ondelete="CASCADE"), index=True
    )
    added_at: Mapped[datetime] = mapped_column(UtcTime)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)  # note and conditions of the search


class RateRow(Base):
    """A caller's token bucket, shared by the services of a database; see `Rates`."""

    __tablename__ = "request_rates"

    caller: Mapped[str] = mapped_column(String(80), primary_key=True)
    tokens: Mapped[float] = mapped_column(Double)
    at: Mapped[float] = mapped_column(Double)  # of `tokens`: seconds since 1970, database's clock
    full_at: Mapped[float] = mapped_column(Double)  # when the row says no more than none would
