"""Writes a report: a folder with HTML, JSON, CSV and images."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from xemplar.archive.artefact import new_folder

from ..section import Cell, Estimate, Picture, Section, Table

DISCLAIMER = "Research use, not for diagnosis."


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        sections: of the studies, in the order of reading.
        about: what was evaluated, where and with what: digests, versions, settings, time, memory.
        title: heading of the page; empty for that of an evaluation.
        origin: line below it, likewise.
    """

    sections: Sequence[Section]
    about: Mapping[str, Any]
    title: str = ""
    origin: str = ""

    @property
    def failures(self) -> list[str]:
        """Reasons of all studies against a release."""
        return [failure for section in self.sections for failure in section.failures]


def write(folder: Path, report: Report) -> None:
    """Write the report, whole or not at all.

    Raises:
        ConfigurationError: the folder exists already.
    """
    with new_folder(folder) as beside:
        (beside / "report.html").write_text(html(report), encoding="utf-8")
        (beside / "report.json").write_text(to_json(report), encoding="utf-8")
        for section in report.sections:
            for table in section.tables:
                (beside / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
            for picture in section.pictures:
                (beside / f"{picture.name}.{_kind(picture)}").write_bytes(picture.data)
            for name, content in section.documents.items():
                (beside / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def to_json(report: Report) -> str:
    """Every figure, setting, version and digest."""
    content = {
        "disclaimer": DISCLAIMER,
        "about": report.about,
        "failures": report.failures,
        "sections": [section.to_dict() for section in report.sections],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def to_csv(table: Table) -> str:
    """One row a line; a mean with an interval takes four columns."""
    wide = [
        any(isinstance(row[column_index], Estimate) for row in table.rows)
        for column_index in range(len(table.columns))
    ]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        [
            heading
            for column, is_wide in zip(table.columns, wide, strict=True)
            for heading in ((column, "low", "high", "count") if is_wide else (column,))
        ]
    )
    for row in table.rows:
        rows.writerow(
            [v for cell, is_wide in zip(row, wide, strict=True) for v in _spread(cell, is_wide)]
        )
    return text.getvalue()


def html(report: Report) -> str:
    """The page: one file with everything in it, without scripts."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": figure, "interval": interval, "address": address}
    template = (files(__package__) / "page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        report=report, about=_flat(report.about), disclaimer=DISCLAIMER
    )


def figure(cell: Cell) -> str:
    """A cell as people read it: three decimals, thousands apart, a dash where undefined."""
    match cell:
        case None:
            return "–"
        case Estimate():
            return figure(cell.value)
        case float():
            return f"{cell:,.3f}" if abs(cell) < 1000 else f"{cell:,.0f}"
        case int():
            return f"{cell:,}"
        case _:
            return cell


def interval(cell: Cell) -> str:
    """An estimate's 95 % interval, or that there are too few patients; empty for anything else."""
    if not isinstance(cell, Estimate):
        return ""
    if cell.low is None or cell.high is None:
        return "too few"
    return f"{figure(cell.low)} to {figure(cell.high)}"


def address(picture: Picture) -> str:
    """The picture as an address that holds it."""
    kind = {"png": "png", "jpg": "jpeg"}[_kind(picture)]
    return f"data:image/{kind};base64,{base64.b64encode(picture.data).decode()}"


def _kind(picture: Picture) -> str:
    return "png" if picture.data.startswith(b"\x89PNG") else "jpg"


def _spread(cell: Cell, wide: bool) -> list[Cell]:
    if not wide:
        return [cell]
    if isinstance(cell, Estimate):
        return [cell.value, cell.low, cell.high, cell.count]
    return [cell, None, None, None]


def _flat(fields: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) for a table."""
    rows: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{before}{name}", text))
    return rows
