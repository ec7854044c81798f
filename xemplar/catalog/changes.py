"""Numbers of changes, by which readers learn what they have not seen yet.

Whoever reads the last number first and its data afterwards has all changes up to that number, and
possibly newer ones.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.orm import InstrumentedAttribute

from xemplar.catalog.rows import parts
from xemplar.catalog.tables import CaseRow, ChangeRow

LAST = 2**63 - 1
"""No change has a larger number."""


def last_change(connection: Connection) -> int:
    """Return the number of the last change to the cases."""
    return connection.execute(select(ChangeRow.number)).scalar_one()


def next_change(connection: Connection) -> int:
    """Take the next change number (see `ChangeRow`).

    All other rows must be locked first, so that the holder of the number never waits.
    """
    statement = update(ChangeRow).values(number=ChangeRow.number + 1).returning(ChangeRow.number)
    return connection.execute(statement).scalar_one()


def number_cases(connection: Connection, ids: Collection[int], change: int) -> None:
    """Record a change to what is told of existing cases: their metadata, or their reports."""
    for some in parts(ids):
        statement = update(CaseRow).where(CaseRow.id.in_(some)).values(change=change)
        connection.execute(statement)


def later(change: InstrumentedAttribute[int], since: int) -> ColumnElement[bool]:
    """Select changes after one, as a range with two ends.

    Without statistics PostgreSQL expects a third of a table beyond one end, and reads all of it.
    """
    return change.between(since + 1, LAST)
