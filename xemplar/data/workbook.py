"""Reads the first sheet of an Excel workbook (.xlsx) as text, as if it had been saved as CSV.

openpyxl reads it (extra ``excel``). Nothing in a workbook is calculated or executed: formulas
count by the results that were saved with them.
"""

import csv
import datetime
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from xemplar.errors import DatasetError

WORKBOOKS = frozenset({".xlsx", ".xlsm"})
OTHER_WORKBOOKS = frozenset({".xls", ".xlsb", ".ods", ".numbers"})
"""Workbooks that are to be saved in another format."""

MOST_BYTES = 1 << 30
"""Size of an unpacked workbook; a sheet of 100,000 rows and 10 columns has some 50 MB."""

NEED_OPENPYXL = "reading a workbook needs openpyxl: pip install 'xemplar[excel]'"

LOOKED_AT = 50
"""Rows that the width of a sheet is found by."""


@dataclass(frozen=True)
class Sheet:
    """First sheet of a workbook.

    Attributes:
        text: its rows as CSV with commas, from the header on.
        header: number of the header's row in the sheet, from 1.
        note: which sheet this is, where there are others; else empty.
    """

    text: str
    header: int
    note: str


def is_workbook(file: Path) -> bool:
    """Tell whether a table is a workbook, by its suffix."""
    return file.suffix.lower() in WORKBOOKS


def read_sheet(file: Path) -> Sheet:
    """Read the first sheet.

    Raises:
        DatasetError: it is no readable workbook, openpyxl is missing, formulas have no results, or
            the first row is no header.
    """
    try:
        state = file.stat()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    return _read(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)  # inspecting opens a table several times
def _read(file: Path, _modified: int, _size: int) -> Sheet:
    data = _checked(file)
    title, others, rows, has_formulas = _rows(file, data, results=False)
    if has_formulas:
        rows = _with_results(file, rows, _rows(file, data, results=True)[2])
    start = next((number for number, row in enumerate(rows) if any(row)), None)
    if start is None:
        raise DatasetError(f"{file}: the first sheet, {title!r}, is empty; move the table's first")
    _check_header(file, title, rows, start)
    text = StringIO(newline="")
    csv.writer(text).writerows(rows[start:])
    more = ", ".join(map(repr, others))
    note = f"of {file.name} the first sheet, {title!r}, is read, and not {more}" if others else ""
    return Sheet(text.getvalue(), start + 1, note)


def _checked(file: Path) -> bytes:
    """Read the file; refuse what is no workbook, or would fill the memory."""
    try:
        data = file.read_bytes()
        with ZipFile(BytesIO(data)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    except BadZipFile as error:
        raise DatasetError(
            f"{file} is no .xlsx workbook, is damaged, or is protected by a password; save it "
            "without password as .xlsx, or as CSV in UTF-8"
        ) from error
    if unpacked > MOST_BYTES:
        raise DatasetError(
            f"{file} unpacks to {unpacked:,} bytes, and at most {MOST_BYTES:,} are read; save the "
            "sheet as CSV in UTF-8"
        )
    return data


def _rows(
    file: Path, data: bytes, *, results: bool
) -> tuple[str, list[str], list[list[str]], bool]:
    """Read the first sheet: its name, other sheets' names, its rows, and if it has formulas."""
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise DatasetError(f"{file}: {NEED_OPENPYXL}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations that are not read
            book = load_workbook(BytesIO(data), read_only=True, data_only=results, keep_links=False)
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
            sheet = (sheets or book.worksheets)[0]
            sheet.reset_dimensions()  # what a file says of its size may be wrong
            cells = [list(row) for row in sheet.rows]
    except (LookupError, ValueError, TypeError, AttributeError, SyntaxError, BadZipFile) as error:
        # SyntaxError: of XML; the others: openpyxl checks little of what a file should hold
        raise DatasetError(
            f"{file} cannot be read as a workbook; open it and save it anew as .xlsx, or as CSV in "
            "UTF-8"
        ) from error
    others = [other.title for other in book.worksheets if other is not sheet]
    has_formulas = any(cell.data_type == "f" for row in cells for cell in row)
    width = max(map(len, cells), default=0)  # a row ends with its last cell that is not empty
    rows = [[*map(_text, row), *[""] * (width - len(row))] for row in cells]
    return sheet.title, others, rows, has_formulas


def _with_results(
    file: Path, formulas: Sequence[Sequence[str]], results: list[list[str]]
) -> list[list[str]]:
    """Take the saved results of formulas; refuse a file in which no formula has one."""
    pairs = (
        pair
        for row, found in zip(formulas, results, strict=True)
        for pair in zip(row, found, strict=False)
    )
    if not any(result for cell, result in pairs if cell.startswith("=")):
        raise DatasetError(
            f"{file}: the results of its formulas are not in the file, as a program wrote it; open "
            "it in a spreadsheet program and save it, or save the sheet as CSV in UTF-8"
        )
    return results


def _text(cell: Any) -> str:
    """Return a cell as a person reads it; dates are ISO 8601."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        zeros = re.fullmatch("0+", cell.number_format or "")
        return str(value).zfill(len(zeros[0])) if zeros else str(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return str(value)


def _check_header(file: Path, title: str, rows: Sequence[Sequence[str]], start: int) -> None:
    """Refuse a sheet whose first row is a title, or has merged cells."""
    used = _filled(rows[start : start + LOOKED_AT])
    named = _filled([rows[start]])
    if len(used) > 1 and 2 * len(named) <= len(used):
        raise DatasetError(
            f"{file}, sheet {title!r}: the first row with text, {start + 1}, names {len(named)} of "
            f"{len(used)} columns, as a title or merged cells do; delete what is above the row of "
            "the columns' names, and merge no cells in it"
        )


def _filled(rows: Iterable[Sequence[str]]) -> set[int]:
    return {index for row in rows for index, cell in enumerate(row) if cell.strip()}
