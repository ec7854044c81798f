"""`Generations`: the catalog's records of index generations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import GenerationRow


@dataclass(frozen=True)
class GenerationRecord:
    """The catalog's record of an index generation.

    Attributes:
        name: of its folder.
        checkpoint: sha256 hex digest.
        preprocessing: digest of the spec.
        count: number of cases.
        created_at: UTC.
        published_at: when it was last published, UTC; None if never.
    """

    name: str
    checkpoint: str
    preprocessing: str
    count: int
    created_at: datetime
    published_at: datetime | None = None


FIELDS = tuple(GenerationRecord.__annotations__)


class Generations:
    """Records of all built index generations. Safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, generation: GenerationRecord) -> None:
        """Record an index generation, replacing any record of the same name."""
        fields = {name: getattr(generation, name) for name in FIELDS}
        with writing(self._engine) as connection:
            connection.execute(delete(GenerationRow).where(GenerationRow.name == generation.name))
            connection.execute(insert(GenerationRow).values(fields))

    def publish(self, name: str, make_live: Callable[[], None]) -> None:
        """Make a generation live and record the time; a failure leaves both unchanged.

        Args:
            name: of the generation.
            make_live: makes it live, atomically.
        """
        published = update(GenerationRow).where(GenerationRow.name == name)
        with writing(self._engine) as connection:
            connection.execute(published.values(published_at=datetime.now(UTC)))
            make_live()

    def all(self) -> tuple[GenerationRecord, ...]:
        """Return all recorded generations, oldest first."""
        with reading(self._engine) as connection, Session(connection) as session:
            rows = session.scalars(select(GenerationRow).order_by(GenerationRow.name))
            return tuple(GenerationRecord(**{n: getattr(row, n) for n in FIELDS}) for row in rows)
