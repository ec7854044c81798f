"""`Generations`: what the catalog remembers of index generations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import GenerationRow


@dataclass(frozen=True)
class GenerationRecord:
    """What the catalog remembers of an index generation.

    Attributes:
        name: of its folder.
        checkpoint: sha256 hex digest.
        preprocessing: digest of the spec.
        count: of cases in it.
        created_at: UTC.
        published_at: when it was last made the live one, UTC; None if never.
    """

    name: str
    checkpoint: str
    preprocessing: str
    count: int
    created_at: datetime
    published_at: datetime | None = None


FIELDS = tuple(GenerationRecord.__annotations__)


class Generations:
    """The index generations that were built. Safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, generation: GenerationRecord) -> None:
        """Remember an index generation; a later record of the same name replaces it."""
        fields = {name: getattr(generation, name) for name in FIELDS}
        with writing(self._engine) as connection:
            connection.execute(delete(GenerationRow).where(GenerationRow.name == generation.name))
            connection.execute(insert(GenerationRow).values(fields))

    def publish(self, name: str, make_live: Callable[[], None]) -> None:
        """Make a generation the live one, and remember when; what fails changes neither.

        Args:
            name: of the generation.
            make_live: does it, at once.
        """
        published = update(GenerationRow).where(GenerationRow.name == name)
        with writing(self._engine) as connection:
            connection.execute(published.values(published_at=datetime.now(UTC)))
            make_live()

    def all(self) -> tuple[GenerationRecord, ...]:
        """All generations that were recorded, oldest first."""
        with reading(self._engine) as connection, Session(connection) as session:
            rows = session.scalars(select(GenerationRow).order_by(GenerationRow.name))
            return tuple(GenerationRecord(**{n: getattr(row, n) for n in FIELDS}) for row in rows)
