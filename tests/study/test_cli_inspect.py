"""The command, as a user types it."""

from pathlib import Path

import pytest
import typer
from openpyxl import Workbook
from typer.testing import CliRunner, Result
from xemplar_study.cli_inspect import inspect

from xemplar.data.datasets import open_dataset
from xemplar.errors import DatasetError

LINE = typer.Typer()
LINE.command()(inspect)


def run(*words: object) -> Result:
    return CliRunner().invoke(LINE, [str(word) for word in words])


def test_it_prints_a_summary_and_names_the_next_command(odd: Path, tmp_path: Path) -> None:
    result = run(odd, "--out", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "40 image files." in result.stdout
    assert f"next: xemplar inspect '{odd}' --fix-columns".replace("'", "") in (
        result.stderr.replace("'", "")
    )
    assert "Contact sheet" in (tmp_path / "page.html").read_text()


def test_fix_columns_writes_what_index_then_reads(odd: Path) -> None:
    result = run(odd, "--fix-columns")
    assert result.exit_code == 0, result.output
    dataset = open_dataset(odd)
    assert len(dataset.images) == 40
    first = dataset.images[0]
    assert first.path == odd / "Bilder" / "röntgen 0.png"
    assert (first.patient, first.view, first.sex, first.age) == ("P0", "PA", "F", 20)
    assert {name for name, value in first.labels.items() if value == 1} == {
        "Effusion",
        "Cardiomegaly",
    }
    assert "next: xemplar study" in result.stderr


def test_fix_columns_keeps_a_file_that_is_there(odd: Path) -> None:
    run(odd, "--fix-columns")
    result = run(odd, "--fix-columns")
    assert isinstance(result.exception, DatasetError)
    assert "is there already" in str(result.exception)


def test_a_table_that_is_read_needs_no_fixing(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Mass\n")
    result = run(tmp_path, "--fix-columns")
    assert isinstance(result.exception, DatasetError)
    assert "no columns are to be fixed" in str(result.exception)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n"], ids=["empty", "of something else"])
def test_a_table_that_names_no_images_cannot_be_fixed(odd: Path, content: str) -> None:
    (odd / "Export Röntgen.csv").write_text(content)
    result = run(odd, "--fix-columns")
    assert isinstance(result.exception, DatasetError)
    assert "has a column that names its images" in str(result.exception)


def test_an_unknown_finding_leads_to_its_line_in_the_mapping(odd: Path) -> None:
    table = odd / "Export Röntgen.csv"
    table.write_text(table.read_text("utf-8-sig").replace("Pneumonie", "Stauung"), "utf-8")
    result = run(odd, "--fix-columns")
    assert result.exit_code == 1
    assert "'Stauung'" in result.stdout
    mapping = odd / "columns.toml"
    assert f"Correct {mapping} as said above" in result.stderr
    assert "next: xemplar inspect" in result.stderr
    assert "--fix-columns" not in result.stderr.partition("next:")[2]
    mapping.write_text(mapping.read_text().replace('# "Stauung" = ""', '"Stauung" = "Edema"'))
    result = run(odd)
    assert result.exit_code == 0, result.output
    assert "next: xemplar study" in result.stderr


def test_a_workbook_is_read_as_a_table_of_text(odd: Path) -> None:
    rows = [line.split(";") for line in (odd / "Export Röntgen.csv").read_text().splitlines()[1:]]
    (odd / "Export Röntgen.csv").unlink()
    book = Workbook()
    for row in rows:
        cells = [*row[:6], ";".join(row[6:])]
        book.active.append([cell.strip('"') for cell in cells])
    book.save(odd / "Export.xlsx")
    result = run(odd, "--fix-columns")
    assert result.exit_code == 0, result.output
    assert "Export.xlsx is read: a workbook." in result.stdout
    assert open_dataset(odd).images[0].patient == "P0"


def test_a_table_that_cannot_be_used_is_named_with_the_reason(odd: Path) -> None:
    (odd / "Export Röntgen.csv").unlink()
    book = Workbook()
    for row in (["Export of the ward"], ["image", "patient", "view", "findings"], list("abcd")):
        book.active.append(row)
    book.save(odd / "Export.xlsx")
    result = run(odd)
    assert "names 1 of 4 columns, as a title or merged cells do" in result.stdout
    assert "Correct the table as said above" in result.stderr


def test_images_without_a_table_can_be_indexed_and_not_studied(odd: Path) -> None:
    (odd / "Export Röntgen.csv").unlink()
    assert "next: xemplar index" in run(odd).stderr


def test_it_exits_with_1_where_index_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Gout\n")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "Not readable as it is" in result.stdout
    assert "'Gout'" in result.stdout
