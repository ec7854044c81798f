"""The command, as a user types it."""

from pathlib import Path

import pytest
import typer
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


def test_it_exits_with_1_where_index_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Gout\n")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "Not readable as it is" in result.stdout
    assert "'Gout'" in result.stdout
