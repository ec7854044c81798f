"""Reads user-written tables (CSV, TSV) row by row; errors state file, line and reason.

The delimiter is detected from the required columns, more reliably than from cells.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from xemplar.errors import DatasetError
from xemplar.names import name_problem, nearest, spelling_key

DELIMITERS = ",;\t"

WESTERN = "cp1252"
"""Encoding of a table that is not UTF-8 and has no byte order mark."""

_EXCEL_LINE = re.compile(r"\s*\"?sep=[^\r\n]?\"?[ ,;\t]*\r?\n", re.IGNORECASE)
"""First line by which Excel is told the delimiter; no row of the table."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its prefix
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class CsvTable:
    """A table whose header has been read; iterate over it to get its rows.

    Attributes:
        file: path of the table.
        encoding: Python's name of its encoding.
        delimiter: one of `DELIMITERS`.
        columns: column names, in the caller's spelling where the header's differs.
        called: requested column -> its name in the header; their cells are checked for control
            characters, but those of ``texts``.
        texts: columns of running text.
    """

    file: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    called: Mapping[str, str]
    texts: frozenset[str]
    _text: str = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield (line number, column -> stripped text) for each row that is not blank.

        Raises:
            DatasetError: a row has more or fewer cells than the header, unbalanced quotes, or a
                control character in a requested column.
        """
        rows = csv.reader(StringIO(self._text, newline=""), delimiter=self.delimiter, strict=True)
        try:
            next(rows, None)
            if _EXCEL_LINE.match(self._text):
                next(rows, None)
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
                f"{self.file}, line {line}: {len(cells)} cells in a table of {count} columns; put "
                f"cells that contain {self.delimiter!r} between double quotes"
            )
        row = dict(zip(self.columns, cells, strict=False))
        for column in self.called.keys() - self.texts:
            if fault := name_problem(row[column]):
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
    texts: Iterable[str] = (),
) -> CsvTable:
    """Read a table's header; detect encoding and delimiter.

    Column names are compared leniently (`xemplar.names`). Other columns keep their names.

    Args:
        file: CSV or TSV in UTF-8, or UTF-16 with a byte order mark; otherwise read as
            Windows-1252.
        wanted: required columns.
        optional: optional columns.
        columns: required or optional column -> its name in this table's header; columns named here
            are required.
        hint: remedy for a missing column; ends the message.
        texts: optional columns of running text, whose cells are not checked and may have lines.

    Raises:
        DatasetError: the table cannot be read, or a column is missing or ambiguous.
    """
    text, encoding = _decoded(file)
    texts = frozenset(texts)
    called = {name: name for name in (*texts, *optional, *wanted)} | dict(columns or {})
    needed = {*wanted, *(columns or {})}
    headers = {delimiter: _header(text, delimiter) for delimiter in DELIMITERS}
    lacking = {
        delimiter: [
            name for name in called if name in needed and not _column_indices(called[name], header)
        ]
        for delimiter, header in headers.items()
    }
    delimiter = min(DELIMITERS, key=lambda d: (len(lacking[d]), -len(headers[d])))
    header = headers[delimiter]
    if lacking[delimiter]:
        raise DatasetError(_lacks(file, [called[n] for n in lacking[delimiter]], header) + hint)
    names, used = list(header), dict[str, str]()
    for name, written in called.items():
        indices = _column_indices(written, header)
        if len(indices) > 1:
            raise DatasetError(
                f"{file} has the column {written!r} {len(indices)} times: "
                f"{', '.join(repr(header[index]) for index in indices)}"
            )
        for index in indices:
            names[index] = name
            used[name] = header[index]
    return CsvTable(file, encoding, delimiter, tuple(names), used, texts, text)


def read_rows(file: Path, wanted: Iterable[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line number, column -> stripped text) for each row of a table, all columns included.

    Raises:
        DatasetError: see `read_table` and `CsvTable`.
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
        lines = StringIO(_EXCEL_LINE.sub("", text, count=1), newline="")
        row = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []
    names = [name.strip() for name in row]
    while names and not names[-1]:  # NIH's own table ends its lines with a comma
        names.pop()
    return names


def _column_indices(name: str, header: Sequence[str]) -> list[int]:
    """Find the indices of a column, by exact name or else leniently."""
    exact = [index for index, one in enumerate(header) if one == name]
    key = spelling_key(name)
    return exact or [index for index, one in enumerate(header) if spelling_key(one) == key]


def _lacks(file: Path, missing: Iterable[str], header: Sequence[str]) -> str:
    descriptions = []
    for name in missing:
        near = nearest(name, header, 1)
        descriptions.append(f"{name} (nearest: {near[0]!r})" if near else name)
    return (
        f"{file} lacks the column(s) {', '.join(descriptions)}; it has: "
        f"{', '.join(map(repr, header)) or 'none'}"
    )
