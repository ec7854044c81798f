"""Reads user-written tables (CSV, TSV, workbooks) row by row; errors state file, line and reason.

The delimiter is detected from the required columns, more reliably than from cells.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

from xemplar.data.workbook import OTHER_WORKBOOKS, WORKBOOKS, is_workbook, read_sheet
from xemplar.errors import DatasetError
from xemplar.names import name_problem, nearest, spelling_key

DELIMITERS = ",;\t"

READABLE = frozenset({".csv", ".tsv", ".tab"}) | WORKBOOKS
"""Suffixes of tables that are read."""

WESTERN = "cp1252"
"""Encoding of a table that is not UTF-8 and has no byte order mark."""

_EXCEL_LINE = re.compile(r"\s*\"?sep=[^\r\n]?\"?[ ,;\t]*\r?\n", re.IGNORECASE)
"""First line by which Excel is told the delimiter; no row of the table."""

WORKBOOK = "xlsx"
"""In place of an encoding: the first sheet of a workbook."""

LISTS = frozenset({"findings"})
"""Requested columns whose cells are lists: their line breaks separate, as `on_one_line` says."""

NO_VALUES = frozenset({
    "#N/A", "#NV", "#REF!", "#BEZUG!", "#VALUE!", "#WERT!", "#NAME?", "#DIV/0!", "#NUM!", "#ZAHL!",
    "#NULL!",
})  # fmt: skip
"""What Excel writes in place of a value that it cannot compute, in English and German."""

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
        encoding: Python's name of its encoding, or `WORKBOOK`.
        delimiter: one of `DELIMITERS`.
        columns: column names, in the caller's spelling where the header's differs.
        called: requested column -> its name in the header; their cells are checked for control
            characters, but those of ``texts``.
        texts: columns of running text.
        header: line of the header: above 1 in a sheet that begins with empty rows.
        note: sentence for the user; empty for none.
    """

    file: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    called: Mapping[str, str]
    texts: frozenset[str]
    _text: str = field(repr=False)
    header: int = 1
    note: str = ""

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield (line number, column -> stripped text) for each row that is not blank.

        Raises:
            DatasetError: a row has more or fewer cells than the header, unbalanced quotes, or a
                control character or one of `NO_VALUES` in a requested column.
        """
        rows = csv.reader(StringIO(self._text, newline=""), delimiter=self.delimiter, strict=True)
        try:
            next(rows, None)
            if _EXCEL_LINE.match(self._text):
                next(rows, None)
            for number, row in enumerate(rows, self.header + 1):
                # a cell with a line break makes two lines of a file, and one row of a sheet
                line = number if self.encoding == WORKBOOK else rows.line_num
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield line, self._named(cells, line)
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
        for column in LISTS & self.called.keys():
            row[column] = on_one_line(row[column])
        for column in self.called.keys() - self.texts:
            if fault := name_problem(row[column]):
                raise DatasetError(
                    f"{self.file}, line {line}: {column} is {row[column][:60]!r}: {fault}"
                )
            if row[column] in NO_VALUES:
                raise DatasetError(
                    f"{self.file}, line {line}: {column} is {row[column]!r}, a formula that "
                    "failed; correct it, or empty the cell"
                )
        return row


def on_one_line(cell: str) -> str:
    """Replace the line breaks of a cell, as Excel's Alt+Enter makes them, by ``|``."""
    return "|".join(line.strip() for line in re.split(r"[\r\n]+", cell) if line.strip())


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
            Windows-1252. Of a workbook, the first sheet (`xemplar.data.workbook`).
        wanted: required columns.
        optional: optional columns.
        columns: required or optional column -> its name in this table's header; columns named here
            are required.
        hint: remedy for a missing column; ends the message.
        texts: optional columns of running text, whose cells are not checked and may have lines.

    Raises:
        DatasetError: the table cannot be read, or a column is missing or ambiguous.
    """
    sheet = read_sheet(file) if is_workbook(file) else None
    text, encoding = (sheet.text, WORKBOOK) if sheet else _decoded(file)
    delimiters = "," if sheet else DELIMITERS
    texts = frozenset(texts)
    called = {name: name for name in (*texts, *optional, *wanted)} | dict(columns or {})
    needed = {*wanted, *(columns or {})}
    headers = {delimiter: _header(text, delimiter) for delimiter in delimiters}
    lacking = {
        delimiter: [
            name for name in called if name in needed and not _column_indices(called[name], header)
        ]
        for delimiter, header in headers.items()
    }
    delimiter = min(delimiters, key=lambda d: (len(lacking[d]), -len(headers[d])))
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
    table = CsvTable(file, encoding, delimiter, tuple(names), used, texts, text)
    return replace(table, header=sheet.header, note=sheet.note) if sheet else table


def read_rows(file: Path, wanted: Iterable[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line number, column -> stripped text) for each row of a table, all columns included.

    Raises:
        DatasetError: see `read_table` and `CsvTable`.
    """
    yield from read_table(file, wanted)


def _decoded(file: Path) -> tuple[str, str]:
    if file.suffix.lower() in OTHER_WORKBOOKS:
        raise DatasetError(
            f"{file} is a workbook of a kind that is not read; save it as .xlsx, or as CSV in UTF-8"
        )
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
