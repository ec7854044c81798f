"""`CaseFilter`: which cases are meant, as a value and as conditions in SQL."""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from xemplar.catalog.tables import CaseRow, FindingRow
from xemplar.data.findings import NO_FINDING, canonical
from xemplar.errors import InvalidArgument

MAX_AGE = 120
"""Years; data sets' ages above are taken for typing errors and not kept."""


@dataclass(frozen=True, kw_only=True)
class CaseFilter:
    """Cases that meet every condition; the empty filter means all cases.

    What a label file leaves open meets no condition that asks for it: a case of unknown age is
    outside every range of ages. Findings are those that are present (`Case.findings`), so
    "No Finding" may be named, and ``none_of`` keeps cases whose labels are unknown.

    Attributes:
        any_of: findings of which at least one must be present.
        all_of: findings that must all be present.
        none_of: findings of which none may be present.
        known_absent: a finding whose label must say that it is absent; "No Finding" says so of
            every finding, an uncertain or unknown label of none.
        sex: "F" or "M".
        age_min: in years, 0 to 120, inclusive.
        age_max: likewise.
        views: any of these, such as "PA"; capitals and small letters are the same.
        sources: any of these data sets.
        indexed_since: day (UTC) on or after which the case was first indexed.
        indexed_until: day (UTC) on or before which it was.

    Raises:
        InvalidArgument: a value out of its range, or a range that ends before it begins.
    """

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    known_absent: str | None = None
    sex: str | None = None
    age_min: int | None = None
    age_max: int | None = None
    views: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    indexed_since: date | None = None
    indexed_until: date | None = None

    def __post_init__(self) -> None:
        for name in ("any_of", "all_of", "none_of"):
            object.__setattr__(self, name, tuple(map(canonical, getattr(self, name))))
        if self.known_absent is not None:
            object.__setattr__(self, "known_absent", canonical(self.known_absent))
        object.__setattr__(self, "views", tuple(view.upper() for view in self.views))
        self._check()

    def _check(self) -> None:
        for name in ("age_min", "age_max"):
            age = getattr(self, name)
            if age is not None and not 0 <= age <= MAX_AGE:
                raise InvalidArgument(f"{name} is {age}; it must be from 0 to {MAX_AGE} years")
        if self.sex is not None and self.sex not in ("F", "M"):
            raise InvalidArgument(f"sex is {self.sex[:60]!r}; it must be F or M")
        for first, last in (("age_min", "age_max"), ("indexed_since", "indexed_until")):
            begin, end = getattr(self, first), getattr(self, last)
            if begin is not None and end is not None and begin > end:
                raise InvalidArgument(f"{first} is {begin}, which is after {last} {end}")
        texts = [v for f in fields(self) for v in _texts(getattr(self, f.name))]
        if any("\0" in text for text in texts):
            raise InvalidArgument("a filter holds a NUL character, which no case can have")

    @property
    def findings(self) -> frozenset[str]:
        """All findings whose presence it speaks of."""
        return frozenset((*self.any_of, *self.all_of, *self.none_of))

    def conditions(self) -> list[ColumnElement[bool]]:
        """For ``select(...).where(*conditions)`` over `CaseRow`; none for the empty filter."""
        found = self._of_findings()
        if self.sex is not None:
            found.append(CaseRow.sex == self.sex)
        if self.age_min is not None:
            found.append(CaseRow.age >= self.age_min)
        if self.age_max is not None:
            found.append(CaseRow.age <= self.age_max)
        if self.views:
            found.append(func.upper(CaseRow.view).in_(self.views))
        if self.sources:
            found.append(CaseRow.source.in_(self.sources))
        if self.indexed_since is not None:
            found.append(CaseRow.created_at >= datetime.combine(self.indexed_since, time.min, UTC))
        if self.indexed_until is not None:
            found.append(CaseRow.created_at <= datetime.combine(self.indexed_until, time.max, UTC))
        return found

    def _of_findings(self) -> list[ColumnElement[bool]]:
        found = [_present(finding) for finding in self.all_of]
        if self.any_of:
            found.append(_present(*self.any_of))
        if self.none_of:
            found.append(~_present(*self.none_of))
        if self.known_absent is not None:
            labelled = CaseRow.labels[self.known_absent].as_integer() == 0
            healthy = _present(NO_FINDING)
            found.append(labelled if self.known_absent == NO_FINDING else or_(labelled, healthy))
        return found


def _present(*findings: str) -> ColumnElement[bool]:
    """Whether a case has at least one of the findings."""
    return CaseRow.id.in_(select(FindingRow.case).where(FindingRow.finding.in_(findings)))


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()
