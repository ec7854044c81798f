"""`LabelReader`: parses rows of label tables; shared by all formats."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from xemplar.data.csv_table import WESTERN, read_table
from xemplar.data.datasets.discovery import ImageLocator
from xemplar.data.datasets.mapping import TableMapping
from xemplar.data.datasets.records import LabelTable, some_of
from xemplar.data.findings import (
    NO_FINDING,
    VOCABULARY,
    Labels,
    UnknownFindings,
    canonical,
    nearest_findings,
)
from xemplar.data.readings import READINGS
from xemplar.errors import DatasetError
from xemplar.views import parse_view, unknown_view_message

NAME_COLUMNS = (
    "to read a table (CSV, TSV, XLSX) with other columns, let `xemplar inspect FOLDER "
    "--fix-columns` find them, or name them: "
    '--columns file="Image Index",findings="Finding Labels"'
)

LISTED = 20
"""Maximum unknown names listed in an error; the rest are counted."""

ABSENT = frozenset({"", "-", "?", "na", "n/a", "nan", "none", "null", "unknown"})
"""Values that stand for an unknown age or view."""

SEXES = {
    "F": frozenset([
        "f", "w", "female", "woman", "weiblich", "frau", "femme", "féminin", "mujer", "femenino",
        "femenina", "donna", "femmina", "femminile", "mulher", "feminino",
    ]),
    "M": frozenset([
        "m", "male", "man", "männlich", "mann", "homme", "masculin", "hombre", "masculino", "uomo",
        "maschio", "maschile", "homem",
    ]),
}  # fmt: skip
"""Words for a sex in English, German, French, Spanish, Italian and Portuguese; first letters are
ambiguous, as in "mujer"."""

_YEARS = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(?:yrs?|years?( old)?|j\.?|jahre?|ans?|años?|anni|anos?)\.?"
)
"""Ages with the word for years, in the languages of `SEXES`."""

_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b.*")

_IN_A_YEAR = {"Y": 1, "M": 12, "W": 52, "D": 365}
"""Units of DICOM's age strings (PS3.5, 6.2, AS), as 018M."""


class LabelReader:
    """Reads the tables of one data set; collects notes and unknown findings.

    Attributes:
        source: name of the data set.
        images: resolves image names to paths.
        notes: see `Dataset.notes`.
        tables: see `Dataset.tables`.
    """

    def __init__(
        self, root: Path, source: str, unknown: UnknownFindings, mapping: TableMapping
    ) -> None:
        self.source = source
        self.images = ImageLocator(root)
        self.notes: list[str] = []
        self.tables: list[LabelTable] = []
        self._unknown = unknown
        self._mapping = mapping
        self._lines: dict[str, list[str]] = defaultdict(list)  # unknown name -> where
        self._seen: dict[Path, str] = {}
        self._unread = set[str]()

    def rows(
        self,
        file: Path,
        wanted: Iterable[str],
        optional: Iterable[str] = (),
        texts: Iterable[str] = (),
    ) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield (file and line, column -> text) for each row; raises the errors of `read_table`."""
        columns = self._mapping.columns
        hint = "" if columns else f"; {NAME_COLUMNS}"
        table = read_table(file, wanted, optional, columns, hint, texts)
        unused = tuple(name for name in table.columns if name not in table.called)
        self.tables.append(LabelTable(file, table.encoding, table.delimiter, table.called, unused))
        if table.encoding == WESTERN:
            self.notes.append(f"{file.name} is not in UTF-8; it was read as Windows-1252")
        if table.note:
            self.notes.append(table.note)
        yield from ((f"{file}, line {line}", row) for line, row in table)

    def image(self, name: str, where: str, folder: str = "") -> Path:
        """Find the path of a row's image (`ImageLocator.find`); each image has one row.

        Raises:
            DatasetError: another row names the same image, or it is outside the data set.
        """
        path = self.images.find(name, where, folder)
        if path in self._seen:
            raise DatasetError(
                f"{where}: image {name!r} is listed in {self._seen[path]} already; an image has "
                f"one row, its findings separated by {self._mapping.separator!r}"
            )
        self._seen[path] = where
        return path

    def findings(self, text: str, where: str) -> tuple[list[str], bool]:
        """Parse the findings of a cell; the flag tells if all of them are known and consistent."""
        separator, renamed = self._mapping.separator, self._mapping.findings
        written = [name.strip() for name in text.split(separator) if name.strip()]
        names = [canonical(renamed.get(name, name)) for name in written]
        unknown = [name for name in names if name not in VOCABULARY]
        for name in unknown:
            self._lines[name].append(where)
        if self._unknown is UnknownFindings.DROP:
            names = [name for name in names if name in VOCABULARY]
        contradictory = NO_FINDING in names and len(set(names)) > 1
        return names, not (unknown or contradictory)

    def readings(self, row: Mapping[str, str]) -> Mapping[str, str]:
        """Select the other readers' classes of a row (`READINGS`); unknown ones are noted."""
        given = {column: row[column] for column in READINGS if row.get(column)}
        known = {column: name for column, name in given.items() if name in READINGS[column]}
        self._unread |= {f"{column}: {given[column]!r:.60}" for column in given.keys() - known}
        return known

    def finish(self) -> None:
        """Add notes on images found in other folders, unknown readings and unknown findings.

        Raises:
            DatasetError: there are unknown findings, and the policy is REFUSE; lists them.
        """
        if self.images.elsewhere:
            self.notes.append(
                f"{self.images.elsewhere:,} image(s) lie in another folder than the table says"
            )
        if self._unread:
            self.notes.append(
                f"classes of other readers that are not known, and not used: "
                f"{some_of(sorted(self._unread))}"
            )
        if not self._lines:
            return
        names = sorted(self._lines, key=lambda name: -len(self._lines[name]))
        if self._unknown is UnknownFindings.REFUSE:
            listed = [f"\n  {self._about(name)}" for name in names[:LISTED]]
            more = f"\n  and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
            raise DatasetError(
                f"{self.source}: {len(names):,} name(s) of findings are not known:"
                f"{''.join(listed)}{more}\nCorrect them, or name what they mean under "
                "[findings] of columns.toml, or have them kept as findings of their own or "
                "dropped: --unknown-findings keep or drop"
            )
        rows = len({where for lines in self._lines.values() for where in lines})
        done = "kept" if self._unknown is UnknownFindings.KEEP else "dropped"
        self.notes.append(
            f"unknown findings {done}: {some_of([repr(name[:60]) for name in names])}; what the "
            f"{rows:,} row(s) with them do not list counts as unknown, not as absent"
        )

    def _about(self, name: str) -> str:
        parts = [part for part in re.split("[;,]", name) if part.strip()]
        near = dict.fromkeys(one for part in parts for one in nearest_findings(part)[:1])
        lines = self._lines[name]
        more = f" and {len(lines) - 1:,} more" if len(lines) > 1 else ""
        parts_of_message = [f"{name[:60]!r} ({lines[0]}{more})"]
        if len(parts) > 1:
            parts_of_message.append(f"findings are separated by {self._mapping.separator!r}")
        if near:
            parts_of_message.append(f"nearest: {', '.join(near)}")
        return "; ".join(parts_of_message)


def exhaustive(names: Iterable[str], understood: bool, vocabulary: Iterable[str]) -> Labels:
    """Compute labels of a set whose readers assessed a whole vocabulary: unlisted findings are 0.

    If nothing is listed, or something was not understood, unlisted findings remain unknown.

    Args:
        names: listed findings, canonical names.
        understood: whether every listed name was understood.
        vocabulary: findings that the readers assessed.
    """
    listed = list(names)
    absent = dict.fromkeys(vocabulary, 0) if listed and understood else {}
    return absent | dict.fromkeys((name for name in listed if name != NO_FINDING), 1)


def age_of(text: str, where: str) -> int | None:
    """Parse an age such as '63', '063Y', '018M' or '63.0' to whole years; None above 120.

    Raises:
        DatasetError: neither a number nor one of `ABSENT`.
    """
    if text.lower() in ABSENT:
        return None
    if _DATE.fullmatch(text):
        raise DatasetError(
            f"{where}: age {text!r} is a date; write ages in years, or leave them empty"
        )
    if in_words := _YEARS.fullmatch(text.casefold()):
        text = in_words[1]
    unit = text[-1:].upper() if text[-1:].upper() in _IN_A_YEAR else ""
    digits = text[:-1] if unit else text
    if not digits:
        return None
    try:
        years = int(float(digits.replace(",", ".")) / _IN_A_YEAR[unit or "Y"])
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{where}: age {text!r} is no number") from error
    return years if 0 <= years <= 120 else None


def sex_of(text: str) -> str | None:
    """Parse a sex such as "Female": "F", "M" or None."""
    return next((sex for sex, words in SEXES.items() if text.casefold() in words), None)


def view_of(text: str, where: str) -> str | None:
    """Parse a view, one of `xemplar.views.VIEWS`; None if it is one of `ABSENT`.

    Raises:
        DatasetError: an unknown view; the message states the nearest one.
    """
    if text.lower() in ABSENT:
        return None
    view = parse_view(text)
    if view is None:
        raise DatasetError(
            f"{where}: {unknown_view_message(text)}; leave it empty if it is unknown"
        )
    return view
