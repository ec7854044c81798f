"""Token buckets in PostgreSQL, which limit a caller's requests over all services of a database."""

import math

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import RateRow


class Rates:
    """The shared token buckets. Safe to share between threads.

    Times are the database's, so services' clocks need not agree.
    """

    def __init__(self, engine: Engine) -> None:
        """Use the buckets of a PostgreSQL database."""
        self._engine = engine

    def take(self, caller: str, wanted: int, per_second: float, at_once: int) -> tuple[int, float]:
        """Take tokens from a caller's bucket, which is full if there is none yet.

        Args:
            caller: name of the bucket, at most 80 characters.
            wanted: tokens, at least one.
            per_second: tokens that come back each second, above 0.
            at_once: size of the bucket.

        Returns:
            The number taken, as many as there are up to ``wanted``; and the seconds until the next
            one, 0 if some were taken.

        Raises:
            StorageError: none was taken.
        """
        mine = RateRow.caller == caller
        with writing(self._engine) as connection:
            now = _now(connection)
            full = {"caller": caller, "tokens": float(at_once), "at": now, "full_at": now}
            connection.execute(insert(RateRow).values(full).on_conflict_do_nothing())
            query = select(RateRow.tokens, RateRow.at).where(mine).with_for_update()
            row = connection.execute(query).one()
            now = max(_now(connection), row.at)  # it may have waited for another service
            tokens = min(float(at_once), row.tokens + (now - row.at) * per_second)
            taken = min(wanted, math.floor(tokens))
            left = tokens - taken
            full_at = now + (at_once - left) / per_second
            connection.execute(
                update(RateRow).where(mine).values(tokens=left, at=now, full_at=full_at)
            )
        return taken, 0.0 if taken else (1 - left) / per_second

    def forget(self) -> None:
        """Delete the buckets that are full again, which a missing one is, too.

        Raises:
            StorageError: none was deleted.
        """
        with reading(self._engine) as connection:
            full = RateRow.full_at < _now(connection)
            idle = connection.scalars(select(RateRow.caller).where(full)).all()
        if idle:
            with writing(self._engine) as connection:
                free = select(RateRow.caller).where(full).with_for_update(skip_locked=True)
                connection.execute(delete(RateRow).where(RateRow.caller.in_(free)))


def _now(connection: Connection) -> float:
    """Return the database's time in seconds since 1970."""
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)
