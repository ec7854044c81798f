"""The catalog's tables. A change here needs a migration in ``migrations/versions``."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite counts up only in a column that is declared INTEGER
Number = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A point in time, always with the UTC zone, which SQLite would drop."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To the database: in UTC; a time without a zone is a mistake."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database: SQLite gives it back without a zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can speak of it on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class CaseRow(Base):
    """One film; see `xemplar.catalog.Case` for the fields."""

    __tablename__ = "cases"
    # ids are FAISS ids and live on in older generations, so one of a removed case never comes back
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 -- SQLAlchemy's own convention

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    case_id: Mapped[str] = mapped_column(String(16), unique=True)
    image_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    source: Mapped[str] = mapped_column(String)
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


class EmbeddingRow(Base):
    """What one checkpoint made of one case. Arrays are little-endian, row by row."""

    __tablename__ = "embeddings"

    case: Mapped[int] = mapped_column(
        Number, ForeignKey(CaseRow.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    checkpoint: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # float32 (C,), unit length
    logits: Mapped[bytes] = mapped_column(LargeBinary)  # float32 (F,)
    cams: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (F, g, g)


class GenerationRow(Base):
    """One index generation that was built; which one is live is what the file CURRENT says."""

    __tablename__ = "generations"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    checkpoint: Mapped[str] = mapped_column(String(64))
    preprocessing: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(Number)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcTime)
