"""The report: for people, for spreadsheets, for programs."""

import csv
import json
import sys
from pathlib import Path

import pytest
from xemplar_evaluator.report.document import Report, figure, html, interval, to_csv, to_json, write
from xemplar_evaluator.section import Estimate, Picture, Section, Table

from xemplar.errors import ConfigurationError

PNG = b"\x89PNG\r\n\x1a\n"
ABOUT = {
    "created": "2026-11-23",
    "software": {"xemplar": "0"},
    "checkpoint": {"digest": "0123456789abcdef"},
    "index": {"generation": "g"},
    "data": {"name": "phantoms"},
    "queries": {"images": 12},
    "settings": {"splits": ["test"]},
}


def report(**changes) -> Report:
    tables = (
        Table("one", "One <b>", ["by", "P@5"], [["us", Estimate(0.25, 0.2, 0.3, 8)], ["r", None]]),
        Table("long", "Long", ["a"], [[1]], shown=False),
    )
    fields = {"name": "ranking", "title": "T", "text": ("Say <so>.",), "tables": tables} | changes
    fields.setdefault("pictures", (Picture("p", "An image", PNG),))
    return Report([Section(**fields)], ABOUT)


def test_a_mean_with_an_interval_takes_four_columns_of_a_csv() -> None:
    table = report().sections[0].tables[0]
    assert list(csv.reader(to_csv(table).splitlines())) == [
        ["by", "P@5", "low", "high", "count"],
        ["us", "0.25", "0.2", "0.3", "8"],
        ["r", "", "", "", ""],
    ]


def test_the_page_holds_everything_and_asks_for_nothing() -> None:
    page = html(report())
    assert "data:image/png;base64,iVBORw0KGgo=" in page
    assert "<script" not in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "Research use, not for diagnosis." in page


def test_the_page_prints_figures_with_their_intervals_and_escapes_text() -> None:
    page = html(report())
    assert "<td>0.250<small>0.200 to 0.300</small></td>" in page
    assert "Say &lt;so&gt;." in page
    assert "One &lt;b&gt;" in page


def test_the_answers_stand_at_the_top() -> None:
    page = html(report(summary="Of five, three."))
    assert page.index("Of five, three.") < page.index('id="ranking"')


def test_a_long_table_is_a_csv_file_only() -> None:
    assert "<caption>Long" not in html(report())


def test_the_folder_holds_page_json_csv_pictures_and_documents(tmp_path: Path) -> None:
    write(tmp_path / "out", report(documents={"similarity": {"chance": [0, 1]}}))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "report.html", "report.json", "one.csv", "long.csv", "p.png", "similarity.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "report.json").read_text())["about"] == ABOUT


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        write(tmp_path / "out", report())
    assert not list((tmp_path / "out").iterdir())


def test_nothing_is_left_of_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "out", report(settings={"value": float("nan")}))
    assert not list(tmp_path.iterdir())


def test_what_must_not_be_released_stands_first() -> None:
    failed = report(failures=("The maps ignore the network.",))
    assert failed.failures == ["The maps ignore the network."]
    page = html(failed)
    assert page.index("The maps ignore") < page.index('id="ranking"')
    assert json.loads(to_json(failed))["failures"] == failed.failures


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "–"), (0.12345, "0.123"), (12345, "12,345"), (12345.6, "12,346"), ("us", "us")],
)
def test_cells_read_well(cell, text: str) -> None:
    assert figure(cell) == text


def test_too_few_patients_for_an_interval_are_said() -> None:
    assert interval(Estimate(0.5, None, None, 3)) == "too few"
    assert interval(0.5) == ""


def test_the_page_needs_no_folder_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evaluator", "evaluator.report"):  # as anywhere but in this checkout
        monkeypatch.setitem(sys.modules, name, None)
    assert "</html>" in html(report())
