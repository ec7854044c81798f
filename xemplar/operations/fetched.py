"""Record of what was fetched from an archive, so that a run can be killed and repeated.

Images and studies are known by keyed digests of their UIDs (`Store.keyed_digest`). They outlive
their cases: a case that was removed is not fetched again.
"""

from collections.abc import Collection

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.catalog.rows import parts
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import FetchedRow


class Fetched:
    """The keyed digests in the catalog's database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert

    def known(self, digests: Collection[str]) -> frozenset[str]:
        """Return those of some digests that were added before.

        Raises:
            StorageError: the database does not answer.
        """
        query = select(FetchedRow.digest)
        with reading(self._engine) as connection:
            return frozenset(
                digest
                for some in parts(digests)
                for digest in connection.scalars(query.where(FetchedRow.digest.in_(some)))
            )

    def add(self, digests: Collection[str]) -> None:
        """Add digests; known ones stay.

        Raises:
            StorageError: none was added.
        """
        statement = self._insert(FetchedRow).on_conflict_do_nothing()
        with writing(self._engine) as connection:
            for some in parts(digests):
                connection.execute(statement, [{"digest": digest} for digest in some])
