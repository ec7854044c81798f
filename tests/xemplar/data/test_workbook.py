"""Workbooks: what of them is read, and which are refused with a remedy."""

import builtins
import datetime
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from openpyxl import Workbook

from xemplar.data import workbook
from xemplar.data.csv_table import CsvTable, read_table
from xemplar.data.datasets import open_dataset
from xemplar.errors import DatasetError

HEADER = ("file", "patient_id", "age", "findings")
ROW = ("1.png", 7, 60, "Mass")


def written(folder: Path, *rows: Sequence[object], change: Callable = lambda book: None) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    change(book)
    book.save(folder / "table.xlsx")
    return folder / "table.xlsx"


def read(file: Path) -> CsvTable:
    return read_table(file, ("file",), HEADER[1:])


def test_the_first_sheet_is_read_as_a_person_sees_it(tmp_path):
    def padded(book):
        book.active["B3"].number_format = "0000"

    born = datetime.datetime(1961, 5, 12, tzinfo=None)  # noqa: DTZ001 - as in a workbook
    rows = (HEADER, ("1.png", 7.0, born, 'Mass, "big"'), ("2.png", 12, True, None))
    table = read(written(tmp_path, *rows, change=padded))
    assert list(table) == [
        (2, dict(zip(HEADER, ("1.png", "7", "1961-05-12", 'Mass, "big"'), strict=True))),
        (3, dict(zip(HEADER, ("2.png", "0012", "TRUE", ""), strict=True))),
    ]


def test_lines_are_rows_of_the_sheet_also_where_it_begins_with_empty_ones(tmp_path):
    table = read(written(tmp_path, (), (), HEADER, ROW))
    assert [line for line, _ in table] == [4]


def test_other_sheets_are_named_in_a_note_and_hidden_ones_passed_over(tmp_path):
    def sheets(book):
        book.create_sheet("Legend")
        book.create_sheet("Lists", 0).sheet_state = "hidden"

    file = written(tmp_path, HEADER, ROW, change=sheets)
    dataset = open_dataset(tmp_path, table=file)
    assert dataset.images[0].patient == "7"
    assert dataset.notes == (
        "of table.xlsx the first sheet, 'Sheet', is read, and not 'Lists', 'Legend'",
    )


@pytest.mark.parametrize(
    "rows",
    [(("Export of the ward",), HEADER, ROW), (("Image", None, "Report", None), HEADER, ROW)],
    ids=["a title", "merged cells"],
)
def test_a_first_row_that_is_no_header_is_refused(tmp_path, rows):
    with pytest.raises(DatasetError, match=r"first row with text, 1, names \d of 4 columns"):
        read(written(tmp_path, *rows))


def test_formulas_that_were_never_computed_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="results of its formulas are not in the file"):
        read(written(tmp_path, HEADER, ("1.png", 7, "=30+30", "Mass")))


def test_a_formula_that_failed_is_refused_in_a_column_that_is_read(tmp_path):
    with pytest.raises(DatasetError, match=r"line 2: patient_id is '#REF!', a formula that failed"):
        list(read(written(tmp_path, HEADER, ("1.png", "#REF!", 60, "Mass"))))


def test_an_empty_sheet_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="the first sheet, 'Sheet', is empty"):
        read(written(tmp_path))


def test_what_is_no_workbook_is_refused(tmp_path):
    (tmp_path / "table.xlsx").write_bytes(b"file,findings\n")
    with pytest.raises(DatasetError, match="is protected by a password"):
        read(tmp_path / "table.xlsx")


def test_an_archive_that_is_no_workbook_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<")
    with pytest.raises(DatasetError, match="cannot be read as a workbook"):
        read(tmp_path / "table.xlsx")


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml"])
@pytest.mark.parametrize("content", [b"", b"<a/>", b"<worksheet"])
def test_a_damaged_workbook_is_refused(tmp_path, part, content):
    file = written(tmp_path, HEADER, ROW)
    damaged = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == part else old.read(name))
    file.write_bytes(damaged.getvalue())
    with pytest.raises(DatasetError, match=r"table\.xlsx"):
        read(file)


def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MOST_BYTES", 1000)
    with pytest.raises(DatasetError, match="at most 1,000 are read"):
        read(written(tmp_path, HEADER, ROW))


@pytest.mark.parametrize("suffix", [".xls", ".ods"])
def test_other_workbooks_are_to_be_saved_in_another_format(tmp_path, suffix):
    (tmp_path / f"table{suffix}").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"save it as \.xlsx, or as CSV"):
        read(tmp_path / f"table{suffix}")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    file = written(tmp_path, HEADER, ROW)
    usual = builtins.__import__

    def without(name, *rest):
        if name.startswith("openpyxl"):
            raise ModuleNotFoundError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DatasetError, match=r"pip install 'xemplar\[excel\]'"):
        read(file)
