"""Columns that tell when a study was and what it turned out to be: of a ``labels.csv``.

=============  ===================================================================================
followup       number of the study among its patient's, ascending, as NIH's ``Follow-up #``
day            days since the patient's first study
outcome        verified diagnoses (`Diagnosis`), '|' between
proof          kind of proof (`Proof`) of each outcome in the same order, or one for all
outcome_day    days from the study to the proof, likewise; empty where not known
=============  ===================================================================================
"""

from collections.abc import Mapping
from typing import TypedDict

from xemplar.data.datasets.label_table import ABSENT, age_of
from xemplar.data.datasets.mapping import SEPARATOR
from xemplar.data.outcomes import (
    MAX_DAYS,
    MAX_FOLLOWUP,
    MAX_OUTCOMES,
    Diagnosis,
    Outcome,
    Proof,
    check_times,
)
from xemplar.errors import DatasetError, InvalidArgument

RENAME = "if the column means something else, call it by another name"


class Course(TypedDict):
    """The fields of a `DatasetImage` that these columns give."""

    followup: int | None
    day: int | None
    outcomes: tuple[Outcome, ...] | None


def course_of(row: Mapping[str, str], where: str) -> Course:
    """Read the columns of a row.

    Args:
        row: column -> text.
        where: file and line, for messages.

    Raises:
        DatasetError: an unknown diagnosis or kind of proof (the message lists all), a number that
            is none or out of range, a day before the patient's birth, or lists of unlike lengths.
    """
    followup = followup_of(row.get("followup", ""), where)
    day = _whole(row.get("day", ""), "day", 0, MAX_DAYS, where)
    try:
        outcomes = _outcomes(row, where) if "outcome" in row else None
        check_times(age_of(row.get("age", ""), where), day, outcomes or ())
    except InvalidArgument as error:
        raise DatasetError(f"{where}: {error}; {RENAME}") from error
    return Course(followup=followup, day=day, outcomes=outcomes)


def followup_of(text: str, where: str) -> int | None:
    """Read the number of a study among its patient's; None if it is not told."""
    return _whole(text, "followup", 0, MAX_FOLLOWUP, where)


def _outcomes(row: Mapping[str, str], where: str) -> tuple[Outcome, ...]:
    names = [] if row["outcome"].lower() in ABSENT else row["outcome"].split(SEPARATOR)
    if len(names) > MAX_OUTCOMES:
        raise DatasetError(f"{where}: {len(names)} outcomes; the limit is {MAX_OUTCOMES}")
    proofs = _for_each(row, "proof", len(names), where)
    days = _for_each(row, "outcome_day", len(names), where)
    return tuple(
        Outcome(
            Diagnosis.read(name),
            Proof.read(proof),
            _whole(day, "outcome_day", -MAX_DAYS, MAX_DAYS, where),
        )
        for name, proof, day in zip(names, proofs, days, strict=True)
    )


def _for_each(row: Mapping[str, str], column: str, count: int, where: str) -> list[str]:
    """Return a cell's values for each outcome: one stands for all."""
    text = row.get(column, "")
    values = text.split(SEPARATOR)
    if len(values) not in (1, count) or (text and not count):
        raise DatasetError(
            f"{where}: {column} is {text[:60]!r} for {count} outcome(s); give one for each, "
            f"{SEPARATOR!r} between, or one for all"
        )
    return values if len(values) == count else values * count


def _whole(text: str, column: str, least: int, most: int, where: str) -> int | None:
    """Read a whole number, also as spreadsheets write it (3.0); None for one of `ABSENT`."""
    text = text.strip()
    if text.lower() in ABSENT:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != number or not number.is_integer() or not least <= number <= most:
        raise DatasetError(
            f"{where}: {column} is {text[:60]!r}; it must be a whole number from {least:,} to "
            f"{most:,}, relative: a date could identify the patient"
        )
    return int(number)
