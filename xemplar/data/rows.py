"""Tables that people write (CSV, TSV): read row by row, and refused with file, line and reason.

The columns that a table must have tell its delimiter, which no guess from the cells does as surely.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from xemplar.data.spelling import nearest, spelling_key
from xemplar.data.words import fault_of
from xemplar.errors import DatasetError

DELIMITERS = ",;\t"

WESTERN = "cp1252"
"""Encoding of a table that is neither UTF-8 nor begins with a byte order mark."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """A table whose header was read; iterating gives its rows.

    Attributes:
        file: where it lies.
        encoding: Python's name of the one that it was read in.
        delimiter: one of `DELIMITERS`.
        columns: names of its columns: the caller's where the header spells them otherwise.
        used: those of them that the caller asked for; none of their cells holds what no word may.
    """

    file: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    used: frozenset[str]
    _text: str = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """(line number, column -> stripped text) of each row that is not blank.

        Raises:
            DatasetError: a row has more or fewer cells than the header, quotes that do not match,
                or a control character in a column that is used.
        """
        rows = csv.reader(StringIO(self._text, newline=""), delimiter=self.delimiter, strict=True)
        try:
            next(rows)
            for row in rows:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield rows.line_num, self._named(cells, rows.line_num)
        except csv.Error as error:
            raise DatasetError(
                f"{self.file}, line {rows.line_num}: a quote is not closed, is followed by text, "
                f"or a cell has more than {csv.field_size_limit():,} characters"
            ) from error

    def _named(self, cells: Sequence[str], line: int) -> Mapping[str, str]:
        count = len(self.columns)
        if len(cells) < count or any(cells[count:]):
            raise DatasetError(
                f"{self.file}, line {line}: {len(cells)} cells in a table of {count} columns; a "
                f"cell that holds {self.delimiter!r} stands between double quotes"
            )
        row = dict(zip(self.columns, cells, strict=False))
        for column in self.used:
            if fault := fault_of(row[column]):
                raise DatasetError(
                    f"{self.file}, line {line}: {column} is {row[column][:60]!r}: {fault}"
                )
        return row


def read_table(
    file: Path,
    wanted: Iterable[str],
    optional: Iterable[str] = (),
    columns: Mapping[str, str] | None = None,
    hint: str = "",
) -> Table:
    """Read a table's header, and recognise encoding and delimiter.

    Columns are compared leniently (`xemplar.data.spelling`). Further ones are kept as they are
    written.

    Args:
        file: CSV or TSV in UTF-8, or UTF-16 with a byte order mark; any other is taken for
            Windows-1252.
        wanted: columns that it must have.
        optional: columns that it may have.
        columns: such a column -> what this table's header calls it; those that are named here
            must be there.
        hint: what to do where a column is missing; ends the message.

    Raises:
        DatasetError: it cannot be read, lacks a column, or has one twice.
    """
    text, encoding = _decoded(file)
    called = {name: name for name in (*optional, *wanted)} | dict(columns or {})
    needed = {*wanted, *(columns or {})}
    headers = {delimiter: _header(text, delimiter) for delimiter in DELIMITERS}
    lacking = {
        delimiter: [name for name in called if name in needed and not _places(called[name], header)]
        for delimiter, header in headers.items()
    }
    delimiter = min(DELIMITERS, key=lambda d: (len(lacking[d]), -len(headers[d])))
    header = headers[delimiter]
    if lacking[delimiter]:
        raise DatasetError(_lacks(file, [called[n] for n in lacking[delimiter]], header) + hint)
    names = list(header)
    for name, written in called.items():
        places = _places(written, header)
        if len(places) > 1:
            raise DatasetError(
                f"{file} has the column {written!r} {len(places)} times: "
                f"{', '.join(repr(header[place]) for place in places)}"
            )
        for place in places:
            names[place] = name
    return Table(file, encoding, delimiter, tuple(names), frozenset(called) & {*names}, text)


def read_rows(file: Path, wanted: Iterable[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line number, column -> stripped text) of each row of a table; further columns are kept.

    Raises:
        DatasetError: see `read_table` and `Table`.
    """
    yield from read_table(file, wanted)


def _decoded(file: Path) -> tuple[str, str]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", WESTERN):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, encoding
    raise DatasetError(
        f"{file} cannot be read as text: it is not {marked or 'UTF-8'}; save it as CSV in UTF-8"
    )


def _header(text: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []
    names = [name.strip() for name in row]
    while names and not names[-1]:  # NIH's own table ends its lines with a comma
        names.pop()
    return names


def _places(name: str, header: Sequence[str]) -> list[int]:
    """Where a column stands: as it is written, else leniently."""
    exact = [place for place, one in enumerate(header) if one == name]
    key = spelling_key(name)
    return exact or [place for place, one in enumerate(header) if spelling_key(one) == key]


def _lacks(file: Path, missing: Iterable[str], header: Sequence[str]) -> str:
    said = []
    for name in missing:
        near = nearest(name, header, 1)
        said.append(f"{name} (nearest: {near[0]!r})" if near else name)
    return (
        f"{file} lacks the column(s) {', '.join(said)}; it has: "
        f"{', '.join(map(repr, header)) or 'none'}"
    )
