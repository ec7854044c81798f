"""Scalar fields of a collection, to filter by, and the expressions that do.

They hold what `xemplar.catalog.FilterColumns` holds, as of the build, so that Milvus searches only
among the cases that met a filter then. Which cases may appear is decided from the columns in
memory, which are kept current; see `xemplar.index.milvus.generation`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date
from typing import Any

from xemplar.api.search import CaseFilter
from xemplar.catalog import Case
from xemplar.data.findings import NO_FINDING, canonical

UNKNOWN = -1

MOST_FINDINGS = 4096
"""Elements of an array field, at most; Milvus's own limit."""

NONE = "case < 0"
"""Matches no case: ids are positive, and Milvus accepts no empty list."""

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Condition:
    """Requirements of a search on the metadata of a case.

    Attributes:
        wanted: the filter.
        known_absent: see `FilterColumns.mask`.
        sources: that the caller can see; None for all.
        redescribed: ids of the cases whose metadata has changed since the fields were written.
    """

    wanted: CaseFilter
    known_absent: str | None = None
    sources: Collection[str] | None = None
    redescribed: Collection[int] = ()


@dataclass(frozen=True)
class Names:
    """Numbers of the names in a collection's fields, in order of appearance.

    Attributes:
        sexes, views, sources, findings: the names; a name's number is its place.
    """

    sexes: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def row(self, case: Case | None) -> dict[str, Any]:
        """Return the fields of a case, adding its names; of None, those of an unknown case."""
        if case is None:
            return {**dict.fromkeys(FIELDS, UNKNOWN), **{name: [] for name in ARRAYS}}
        absent = [finding for finding, value in case.labels.items() if value == 0]
        return {
            "sex": _number(self.sexes, case.sex),
            "age": UNKNOWN if case.age is None else case.age,
            "view": _number(self.views, case.view and case.view.upper()),
            "source": _number(self.sources, case.source),
            "day": _day(case.created_at.astimezone(UTC).date()),
            "present": [_number(self.findings, finding) for finding in case.findings],
            "absent": [_number(self.findings, finding) for finding in absent],
        }

    def expression(self, condition: Condition) -> str:
        """Return Milvus's expression of a condition; empty if every case meets it."""
        wanted = condition.wanted
        parts = [self._any("present", [finding]) for finding in wanted.all_of]
        if wanted.any_of:
            parts.append(self._any("present", wanted.any_of))
        if wanted.none_of:
            parts.append(f"not ({self._any('present', wanted.none_of)})")
        if condition.known_absent is not None:
            finding = canonical(condition.known_absent)
            ways = [self._any("absent", [finding])]
            if finding != NO_FINDING:
                ways.append(self._any("present", [NO_FINDING]))
            parts.append(" or ".join(f"({way})" for way in ways))
        for name, known, values in (
            ("sex", self.sexes, None if wanted.sex is None else [wanted.sex]),
            ("view", self.views, wanted.view or None),
            ("source", self.sources, wanted.source or None),
            ("source", self.sources, condition.sources),
        ):
            if values is not None:
                parts.append(_among(name, known, values))
        if wanted.age_min is not None or wanted.age_max is not None:
            parts.append(f"age >= {wanted.age_min or 0}")
        if wanted.age_max is not None:
            parts.append(f"age <= {wanted.age_max}")
        if wanted.indexed_since is not None:
            parts.append(f"day >= {_day(wanted.indexed_since)}")
        if wanted.indexed_until is not None:
            parts.append(f"day <= {_day(wanted.indexed_until)}")
        return " and ".join(f"({part})" for part in parts)

    def _any(self, array: str, findings: Iterable[str]) -> str:
        numbers = _known(self.findings, findings)
        return f"array_contains_any({array}, {numbers})" if numbers else NONE


FIELDS = ("sex", "age", "view", "source", "day")
"""Scalar fields, int32; `UNKNOWN` where the catalog does not say."""

ARRAYS = ("present", "absent")
"""Array fields of findings, int32."""


def in_list(ids: Iterable[int]) -> str:
    """Return the expression that selects cases by their ids."""
    listed = ",".join(map(str, ids))
    return f"case in [{listed}]" if listed else NONE


def rows(ids: Sequence[int], cases: Mapping[int, Case], names: Names) -> Iterable[dict[str, Any]]:
    """Yield the fields of cases by their ids; cases removed meanwhile are unknown."""
    for number in ids:
        yield {"case": number, **names.row(cases.get(number))}


def _number(names: list[str], name: str | None) -> int:
    if name is None:
        return UNKNOWN
    if name not in names:
        names.append(name)
    return names.index(name)


def _known(names: Sequence[str], some: Iterable[str]) -> list[int]:
    return sorted(names.index(name) for name in set(some) if name in names)


def _among(field_name: str, names: Sequence[str], some: Collection[str]) -> str:
    numbers = _known(names, some)
    return f"{field_name} in {numbers}" if numbers else NONE


def _day(day: date) -> int:
    """Return the number of days since 1970-01-01."""
    return (day - EPOCH).days
