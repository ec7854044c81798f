"""Stores when a case's image was taken among its patient's, and what it turned out to be.

Both are told by data set, image header or user, and kept in tables of their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from xemplar.catalog.case import Description
from xemplar.catalog.table_base import Upsert
from xemplar.catalog.tables import CaseRow, OutcomeRow, TimeRow
from xemplar.data.outcomes import Diagnosis, Outcome, Proof, check_times

TIMES = ("followup", "day", "shifted_day")
COURSE = frozenset({*TIMES, "outcomes"})
"""Fields of a `Description` that are stored here."""


def put_courses(
    connection: Connection,
    upsert: Upsert,
    told: Mapping[str, Description],
    allowed: Sequence[ColumnElement[bool]] = (),
) -> None:
    """Store what descriptions tell; what they leave open is kept.

    Args:
        connection: in the transaction that stores the cases.
        upsert: the database's insert.
        told: image digest -> description.
        allowed: conditions that the cases must meet.
    """
    some = {
        digest: about
        for digest, about in told.items()
        if any(getattr(about, name) is not None for name in COURSE)
    }
    if not some:
        return
    query = select(CaseRow.id, CaseRow.image_sha256).where(CaseRow.image_sha256.in_(some), *allowed)
    found = {row.id: some[row.image_sha256] for row in connection.execute(query)}
    times = [
        {"case": number} | {name: getattr(about, name) for name in TIMES}
        for number, about in found.items()
    ]
    if times:
        statement = upsert(TimeRow)
        newer = {n: func.coalesce(statement.excluded[n], getattr(TimeRow, n)) for n in TIMES}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["case"], set_=newer), times
        )
    outcomes = {n: about.outcomes for n, about in found.items() if about.outcomes is not None}
    _replace_outcomes(connection, outcomes)


def change_course(
    connection: Connection, upsert: Upsert, case: int, age: int | None, fields: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Change a case's course; fields that are not given keep their values.

    Args:
        connection: in a transaction that has locked the case.
        upsert: the database's insert.
        case: its id.
        age: of the patient, as it will be.
        fields: new values, a subset of `COURSE`.

    Returns:
        (old, new) value of each changed field, as JSON has them.

    Raises:
        InvalidArgument: a day lies before the patient's birth, or a diagnosis is named twice.
    """
    columns = [getattr(TimeRow, name) for name in TIMES]
    row = connection.execute(select(*columns).where(TimeRow.case == case)).mappings().one_or_none()
    before: dict[str, Any] = dict(row) if row else dict.fromkeys(TIMES)
    query = select(OutcomeRow).where(OutcomeRow.case == case).order_by(OutcomeRow.diagnosis)
    before["outcomes"] = tuple(map(outcome_of, connection.execute(query)))
    after = before | dict(fields)
    after["outcomes"] = tuple(sorted(after["outcomes"] or (), key=lambda one: one.diagnosis))
    check_times(age, after["day"], after["outcomes"])
    if any(before[name] != after[name] for name in TIMES):
        values = {name: after[name] for name in TIMES}
        statement = upsert(TimeRow).values(case=case, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["case"], set_=values))
    if before["outcomes"] != after["outcomes"]:
        _replace_outcomes(connection, {case: after["outcomes"]})
    return {
        name: (_plain(before[name]), _plain(after[name]))
        for name in fields
        if before[name] != after[name]
    }


def outcome_of(row: Any) -> Outcome:
    """Convert a row of `OutcomeRow`."""
    return Outcome(Diagnosis(row.diagnosis), Proof(row.proof), row.days)


def _replace_outcomes(connection: Connection, told: Mapping[int, Sequence[Outcome]]) -> None:
    connection.execute(delete(OutcomeRow).where(OutcomeRow.case.in_(told)))
    rows = [
        {"case": number, "diagnosis": one.diagnosis, "proof": one.proof, "days": one.days}
        for number, outcomes in told.items()
        for one in outcomes
    ]
    if rows:
        connection.execute(insert(OutcomeRow), rows)


def _plain(value: Any) -> Any:
    return [vars(one) for one in value] if isinstance(value, tuple) else value
