"""Results of a study as plain values: the report prints them and knows nothing of studies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias


@dataclass(frozen=True)
class Estimate:
    """A mean over images with its uncertainty.

    Attributes:
        value: the mean.
        low: lower end of the 95 % interval, None where there are too few patients for one.
        high: upper end, likewise.
        count: number of values.
    """

    value: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (too few patients)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


Cell: TypeAlias = str | int | float | Estimate | None


@dataclass(frozen=True)
class Table:
    """One table of a report, and one CSV file.

    Attributes:
        name: of the CSV file, such as "ranking-labels".
        title: what it shows, in words.
        columns: their headings.
        rows: one cell for each column; None where a figure is not defined.
        caption: what to know in order to read it: settings, what chance means here, what was left
            out and why.
        shown: whether the page prints it; the longest tables are CSV files only.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    shown: bool = True


@dataclass(frozen=True)
class Picture:
    """One picture of a report.

    Attributes:
        name: of its file, without suffix.
        title: what it shows, in words; read aloud where the picture cannot be seen.
        data: PNG or JPEG file.
        caption: what to know in order to read it.
    """

    name: str
    title: str
    data: bytes
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """Results of one study.

    Attributes:
        name: of the study, such as "ranking".
        title: for people.
        summary: the answer in a sentence or two, for the top of the page.
        text: paragraphs: what was asked, and what the answer does and does not prove.
        tables: in the order of reading.
        pictures: likewise.
        settings: everything that a figure depends on, by name.
        failures: what must not be released, in words; `xemplar evaluate` then exits with 1.
        documents: JSON files that another command reads, by name without suffix.
    """

    name: str
    title: str
    summary: str = ""
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    failures: Sequence[str] = ()
    documents: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; pictures by name, without their data."""
        fields = asdict(self)
        for picture in fields["pictures"]:
            del picture["data"]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Self:
        """The section of which `to_dict` made ``fields``; ``pictures`` gives the data by name."""
        tables = [
            Table(**{**t, "rows": [[_cell(cell) for cell in row] for row in t["rows"]]})
            for t in fields["tables"]
        ]
        drawn = [Picture(**p, data=pictures[p["name"]]) for p in fields["pictures"]]
        return cls(**{**fields, "tables": tables, "pictures": drawn})


def _cell(value: Any) -> Cell:
    return Estimate(**value) if isinstance(value, Mapping) else value
