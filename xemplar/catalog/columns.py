"""`FilterColumns`: metadata of many cases, to filter and count in memory.

A filter over a million cases takes seconds in SQL, and milliseconds here. Its meaning is that of
`xemplar.catalog.filters`. One row takes 28 bytes, with up to 32 findings.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, String, cast, func, select

from xemplar.api.search import CaseFilter
from xemplar.catalog.reader import CatalogReader
from xemplar.catalog.rows import parts
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import CaseRow, OutcomeRow
from xemplar.catalog.tally import Tally
from xemplar.data.findings import NO_FINDING, canonical, positives
from xemplar.data.outcomes import Diagnosis

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = Mapping[str, npt.NDArray[Any]]

UNKNOWN = -1
OUTCOMES = tuple(Diagnosis)
"""In the order of their bits, of which there are 32."""

WORD = 32
"""Findings in one word of a bit mask."""

ROWS = 10_000
"""Rows read at a time."""


class _Codes:
    """Numbers of names from 0 in order of appearance, which never change. Thread-safe."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: UNKNOWN}
        self._adding = Lock()

    def __len__(self) -> int:
        return len(self._numbers) - 1

    def of(self, names: Collection[str | None]) -> list[int]:
        """Return the numbers of names, `UNKNOWN` for None."""
        with self._adding:
            for name in set(names).difference(self._numbers):
                self._numbers[name] = len(self)
        return list(map(self._numbers.__getitem__, names))

    def named(self) -> Mapping[str, int]:
        """Return all names with their numbers."""
        with self._adding:
            return {name: number for name, number in self._numbers.items() if name is not None}

    def known(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of those names that have appeared."""
        return [self._numbers[name] for name in names if name in self._numbers]


class _Names:
    """Numbers of all names in the columns; shared by the columns of one index over time."""

    def __init__(self) -> None:
        self.sexes, self.views, self.sources, self.findings = (_Codes() for _ in range(4))
        # many cases have the same labels
        self.bits = lru_cache(1 << 16)(self._bits)

    def _bits(self, labels: str) -> tuple[int, int]:
        """Return bit masks of the findings present, and of those labelled absent."""
        known = json.loads(labels)
        absent = [finding for finding, value in known.items() if value == 0]
        return self._mask(positives(known)), self._mask(absent)

    def _mask(self, findings: Collection[str]) -> int:
        return sum(1 << number for number in self.findings.of(findings))


@dataclass(frozen=True, eq=False)
class FilterColumns:
    """Columns of cases in ascending order of ids, as of a change. Immutable.

    Attributes:
        ids: int64 (n,).
        version: `CatalogReader.version` that they are up to date with, or newer.
    """

    ids: Ids
    version: int
    _columns: Columns
    _names: _Names

    @classmethod
    def read(cls, catalog: CatalogReader, ids: Ids) -> Self:
        """Read the columns of cases, ids ascending; removed cases meet no filter."""
        version, names = catalog.version(), _Names()
        return cls(ids, version, _empty(len(ids), names), names)._overwritten(_rows(catalog))

    def updated(self, catalog: CatalogReader, ids: Ids) -> Self:
        """Return the columns of other cases, and of the same with the catalog's changes applied.

        Reads only what is new, and what has changed.
        """
        version = catalog.version()
        if version == self.version and ids is self.ids:
            return self
        columns = self._columns
        if ids is not self.ids:
            old = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
            new = self.ids[old] != ids if len(self.ids) else np.ones(len(ids), bool)
            columns = _empty(len(ids), self._names)
            for name, values in _widened(self._columns, columns).items():
                columns[name][..., ~new] = values[..., old[~new]]
            some = ids[new]
        else:
            columns = {name: values.copy() for name, values in columns.items()}
            some = np.empty(0, np.int64)
        some = np.union1d(some, catalog.described_ids(self.version))
        gone = np.fromiter(catalog.removed(self.version), np.int64)
        columns["there"][np.isin(ids, gone)] = False
        made = type(self)(ids, version, columns, self._names)
        return made._overwritten(_rows(catalog, some)) if len(some) else made

    def mask(
        self,
        wanted: CaseFilter,
        known_absent: str | None = None,
        sources: Iterable[str] | None = None,
    ) -> Mask:
        """Select the cases that meet a filter, bool (n,) in order of ids.

        Args:
            wanted: the filter.
            known_absent: a finding whose label must say that it is absent, see
                `xemplar.catalog.filters.conditions`.
            sources: of the cases that the caller can see; None for all.
        """
        columns, names = self._columns, self._names
        found = columns["there"].copy()
        for finding in wanted.all_of:
            found &= self._any("present", [finding])
        if wanted.any_of:
            found &= self._any("present", wanted.any_of)
        if wanted.none_of:
            found &= ~self._any("present", wanted.none_of)
        if known_absent is not None:
            found &= self._absent(canonical(known_absent))
        for name, codes, values in (
            ("sex", names.sexes, None if wanted.sex is None else [wanted.sex]),
            ("view", names.views, wanted.view or None),
            ("source", names.sources, wanted.source or None),
            ("source", names.sources, sources),
        ):
            if values is not None:
                found &= _among(columns[name], codes.known(values))
        if wanted.age_min is not None or wanted.age_max is not None:
            found &= columns["age"] >= (wanted.age_min or 0)
        if wanted.age_max is not None:
            found &= columns["age"] <= wanted.age_max
        if wanted.indexed_since is not None:
            found &= columns["day"] >= np.datetime64(wanted.indexed_since, "D").astype(np.int32)
        if wanted.indexed_until is not None:
            found &= columns["day"] <= np.datetime64(wanted.indexed_until, "D").astype(np.int32)
        return found

    def tally(self, mask: Mask) -> Tally:
        """Count findings and outcomes in cases.

        Args:
            mask: bool (n,), the cases, in order of ids.
        """
        columns = {name: self._columns[name][..., mask] for name in ("present", "absent")}
        outcomes = self._columns["outcomes"][mask]
        healthy = self._bit(columns["present"], NO_FINDING)
        present, known = dict[str, int](), dict[str, int]()
        for finding in self._names.findings.named():
            there = self._bit(columns["present"], finding)
            present[finding] = int(np.count_nonzero(there))
            if finding == NO_FINDING:
                told = columns["present"].any(axis=0)
            else:
                told = there | self._bit(columns["absent"], finding) | healthy
            known[finding] = int(np.count_nonzero(told))
        counts = [int(np.count_nonzero(outcomes & (1 << n))) for n in range(len(OUTCOMES))]
        return Tally(
            cases=int(np.count_nonzero(mask)),
            present={name: count for name, count in present.items() if count},
            known=known,
            outcomes={name: n for name, n in zip(OUTCOMES, counts, strict=True) if n},
            verified=int(np.count_nonzero(outcomes)),
        )

    def _bit(self, words: npt.NDArray[np.uint32], finding: str) -> Mask:
        """Select the rows whose bit masks, uint32 (words, n), have a finding."""
        for number in self._names.findings.known([finding]):
            word, bit = divmod(number, WORD)
            if word < len(words):
                found: Mask = (words[word] & (1 << bit)) != 0
                return found
        return np.zeros(words.shape[-1], bool)

    def _absent(self, finding: str) -> Mask:
        found = self._any("absent", [finding])
        return found if finding == NO_FINDING else found | self._any("present", [NO_FINDING])

    def _any(self, column: str, findings: Iterable[str]) -> Mask:
        """Select cases with at least one of the findings in a bit mask."""
        words = self._columns[column]
        found = np.zeros(len(self.ids), bool)
        bits = sum(1 << number for number in set(self._names.findings.known(findings)))
        for word, (some,) in zip(words, _words([bits], len(words)).tolist(), strict=True):
            if some:
                found |= (word & some) != 0
        return found

    def _overwritten(self, read: Iterable[tuple[Ids, Sequence[Sequence[Any]]]]) -> Self:
        """Return a copy with rows from the catalog; those of other cases are ignored."""
        columns = self._columns
        for ids, rows in read:
            new = _columns_of(rows, self._names)
            columns = _widened(columns, new)
            places = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
            mine = self.ids[places] == ids if len(self.ids) else np.zeros(len(ids), bool)
            for name, values in new.items():
                columns[name][..., places[mine]] = values[..., mine]
        return type(self)(self.ids, self.version, columns, self._names)


def _rows(
    catalog: CatalogReader, ids: Ids | None = None
) -> Iterator[tuple[Ids, Sequence[Sequence[Any]]]]:
    """Yield (ids, values) of some cases or all, `ROWS` at a time; values as for `_columns_of`."""
    query = select(
        CaseRow.id,
        CaseRow.sex,
        CaseRow.age,
        CaseRow.view,
        CaseRow.source,
        _day(catalog.engine.dialect.name),
        cast(CaseRow.labels, String),
    ).execution_options(yield_per=ROWS)
    with reading(catalog.engine) as connection:
        for some in [None] if ids is None else parts(ids.tolist()):
            asked = query if some is None else query.where(CaseRow.id.in_(some))
            outcomes = _outcomes(connection, some)
            for rows in connection.execute(asked).partitions():
                numbers, *values = zip(*rows, strict=True)
                bits = [outcomes.get(number, 0) for number in numbers]
                yield np.array(numbers, np.int64), [*values, bits]


def _outcomes(connection: Connection, some: list[int] | None) -> Mapping[int, int]:
    """Read bit masks of outcomes by the ids of cases, which are few beside all."""
    query = select(OutcomeRow.case, OutcomeRow.diagnosis)
    found = Counter[int]()
    for number, diagnosis in connection.execute(
        query if some is None else query.where(OutcomeRow.case.in_(some))
    ):
        found[number] |= 1 << OUTCOMES.index(diagnosis)
    return found


def _day(dialect: str) -> ColumnElement[str]:
    """Select the day (UTC) of a case as 2025-01-31."""
    if dialect == "sqlite":  # its times are text, in UTC
        return func.substr(cast(CaseRow.created_at, String), 1, 10)
    return func.to_char(func.timezone("UTC", CaseRow.created_at), "YYYY-MM-DD")


def _columns_of(values: Sequence[Sequence[Any]], names: _Names) -> dict[str, npt.NDArray[Any]]:
    """Convert sex, age, view, source, day, labels and outcomes of n cases to columns."""
    sex, age, view, source, day, labels, outcomes = values
    present, absent = zip(*map(names.bits, labels), strict=True)
    count = _word_count(names)
    return {
        "there": np.ones(len(sex), bool),
        "sex": np.array(names.sexes.of(sex), np.int8),
        "age": np.array([UNKNOWN if one is None else one for one in age], np.int16),
        "view": np.array(names.views.of([one and one.upper() for one in view]), np.int32),
        "source": np.array(names.sources.of(source), np.int32),
        "day": np.array(day, "datetime64[D]").astype(np.int32),
        "present": _words(present, count),
        "absent": _words(absent, count),
        "outcomes": np.array(outcomes, np.uint32),
    }


def _empty(count: int, names: _Names) -> dict[str, npt.NDArray[Any]]:
    """Return columns of cases that meet no filter."""
    some = _columns_of([[None], [None], [None], [None], ["1970-01-01"], ["{}"], [0]], names)
    return {
        name: np.zeros((*values.shape[:-1], count), values.dtype) for name, values in some.items()
    }


def _widened(columns: Columns, like: Columns) -> dict[str, npt.NDArray[Any]]:
    """Return columns whose bit masks have at least as many words as others have."""
    missing = len(like["present"]) - len(columns["present"])
    if missing <= 0:
        return dict(columns)
    more = {name: np.pad(columns[name], ((0, missing), (0, 0))) for name in ("present", "absent")}
    return {**columns, **more}


def _word_count(names: _Names) -> int:
    return max(1, -(-len(names.findings) // WORD))


def _words(masks: Sequence[int], count: int) -> npt.NDArray[np.uint32]:
    """Split bit masks into words (count, n), the lowest bits first; further ones are left out."""
    full = (1 << WORD) - 1
    words = [[bits >> (WORD * word) & full for bits in masks] for word in range(count)]
    return np.array(words, np.uint32)


def _among(column: npt.NDArray[Any], codes: Iterable[int]) -> Mask:
    """Select the rows with one of a few codes."""
    found = np.zeros(len(column), bool)
    for code in codes:
        found |= column == code
    return found
