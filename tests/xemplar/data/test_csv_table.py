"""User-written tables: encodings, delimiters, headers, and rejected rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xemplar.data.csv_table import CsvTable, read_rows, read_table
from xemplar.errors import DatasetError

WANTED = ("file", "findings")


def table(tmp_path: Path, content: str | bytes, **options: object) -> CsvTable:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, WANTED, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_an_encoding_is_recognised(tmp_path: Path, encoding: str) -> None:
    read = table(tmp_path, "file,findings\né.png,Mass\n".encode(encoding))
    assert list(read) == [(2, {"file": "é.png", "findings": "Mass"})]
    assert read.encoding == encoding


@pytest.mark.parametrize(
    "content",
    ["file,findings\n1.png,Mass\n".encode("utf-16-le"), b"file,findings\n\x81.png,Mass\n"],
    ids=["UTF-16 without a mark", "no Windows-1252 either"],
)
def test_an_unknown_encoding_is_rejected(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        DatasetError, match=r"table\.csv cannot be read as text.*save it as .*UTF-8"
    ):
        table(tmp_path, content)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_detected_from_the_header(
    tmp_path: Path, delimiter: str, newline: str
) -> None:
    lines = [["file", "age", "findings"], ["1.png", "60", "Mass|Edema"], ["2.png", "61", ""]]
    read = table(tmp_path, newline.join(delimiter.join(line) for line in lines))
    assert read.delimiter == delimiter
    assert [row["findings"] for _, row in read] == ["Mass|Edema", ""]


@given(
    cells=st.lists(
        st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).map(str.strip),
        min_size=2,
        max_size=2,
    ).filter(any)
)
def test_a_quoted_cell_may_contain_delimiters_and_quotes(
    cells: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    read = table(tmp_path_factory.mktemp("rows"), f"file,findings\n{quoted}\n")
    assert [tuple(row.values()) for _, row in read] == [tuple(cells)]


@pytest.mark.parametrize("header", ["File,FINDINGS", " file , find-ings", '"fi_le",Find Ings'])
def test_columns_are_recognised_in_any_spelling(tmp_path: Path, header: str) -> None:
    assert list(table(tmp_path, f"{header}\n1.png,Mass\n")) == [
        (2, {"file": "1.png", "findings": "Mass"})
    ]


def test_columns_may_be_renamed_and_others_are_kept(tmp_path: Path) -> None:
    columns = {"file": "image index", "findings": "Labels"}
    read = table(tmp_path, "Image Index;Labels;Ward\n1.png;Mass;3\n", columns=columns)
    assert list(read) == [(2, {"file": "1.png", "findings": "Mass", "Ward": "3"})]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("file,finding\n", {}, r"lacks the column\(s\) findings \(nearest: 'finding'\); it has"),
        ("", {}, r"lacks the column\(s\) file, findings; it has: none"),
        ("file,findings\n", {"file": "Image Indx"}, r"lacks the column\(s\) Image Indx; it has"),
        (
            "Image Index,findings\n",
            {"file": "Image Indx"},
            r"lacks the column\(s\) Image Indx \(nearest: 'Image Index'\)",
        ),
        ("file,findings,File \n", {"file": "FILE"}, "has the column 'FILE' 2 times"),
        ("file,findings,findings\n", {}, "has the column 'findings' 2 times"),
    ],
)
def test_a_header_with_missing_or_ambiguous_columns_is_rejected(
    tmp_path: Path, content: str, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        table(tmp_path, content, columns=columns)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.png,Pleural effusion, small", "line 3: 3 cells in a table of 2 columns"),
        ("1.png", "line 3: 1 cells in a table of 2 columns"),
        ('1.png,"Mass\n2.png,Mass\n', "a quote is not closed"),
        ('1.png,"Ma"ss', "line 3: a quote"),
    ],
)
def test_a_row_with_the_wrong_number_of_cells_is_rejected(
    tmp_path: Path, row: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        list(table(tmp_path, f"file,findings\n0.png,Mass\n{row}"))


def test_blank_rows_and_empty_last_cells_are_ignored(tmp_path: Path) -> None:
    read = table(tmp_path, "file,findings,\n1.png,Mass,\n,,\n\n2.png,,,,\n")
    assert [(line, row["file"]) for line, row in read] == [(2, "1.png"), (5, "2.png")]


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv cannot be read: No such file"):
        list(read_rows(tmp_path / "none.csv", WANTED))


def test_excels_line_about_the_delimiter_is_no_header(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes("sep=;\r\nfile;findings\r\n1.png;Mass\r\n".encode("utf-8-sig"))
    table = read_table(file, ["file", "findings"])
    assert table.delimiter == ";"
    assert list(table) == [(3, {"file": "1.png", "findings": "Mass"})]


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.touch()
    assert list(read_table(file, [])) == []
