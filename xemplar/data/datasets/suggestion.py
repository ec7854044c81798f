"""Suggests how an unknown table of labels is to be read, by its header and its cells."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from xemplar.data.csv_table import on_one_line, read_table
from xemplar.data.datasets.discovery import ImageLocator
from xemplar.data.datasets.label_table import age_of, sex_of
from xemplar.data.datasets.mapping import SEPARATOR, TableMapping
from xemplar.data.findings import VOCABULARY, canonical, nearest_findings
from xemplar.errors import DatasetError
from xemplar.names import spelling_key
from xemplar.views import parse_view

HEADERS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "file name", "image", "image index", "image path", "path", "dicom", "bild",
        "bilddatei", "datei", "dateiname", "fichier", "fichier image", "nom du fichier", "archivo",
        "imagen", "immagine", "arquivo", "imagem"),
    "patient_id": ("patient", "patients", "patienten", "pat", "mrn", "pid", "subject",
        "participant", "proband", "probanden", "paciente", "paziente", "ipp"),
    "view": ("view", "view position", "projection", "position", "projektion", "aufnahme",
        "strahlengang", "incidence", "proyección", "proiezione", "projeção", "ap/pa"),
    "sex": ("sex", "gender", "patient sex", "patient gender", "geschlecht", "sexe", "sexo",
        "sesso"),
    "age": ("age", "patient age", "age years", "alter", "patientenalter", "âge", "edad", "età",
        "idade"),
    "findings": ("findings", "finding", "finding labels", "labels", "label", "diagnosis",
        "diagnoses", "pathology", "befund", "befunde", "diagnose", "diagnosen", "diagnostic",
        "hallazgos", "diagnóstico", "referto", "diagnosi", "achados"),
    "split": ("split", "set", "subset", "partition", "aufteilung", "partición"),
}  # fmt: skip
"""One of `COLUMNS` -> names that such columns have, in English, German, French and others."""

NUMBERS = frozenset({
    "id", "nr", "no", "nº", "n°", "number", "nummer", "numéro", "numero", "número", "code",
    "identifier", "identifiant", "identificador", "identificativo", "kennung", "pseudonym",
})  # fmt: skip
"""Words beside a name of `HEADERS`, as in "Patienten-Nr."."""

_COMPOUND = re.compile(
    r"(patient(?:en)?|proband(?:en)?|subject|bild|image)(id|nr|no|nummer|kennung)"
)
"""Both in one word, as "Patientennr"."""

ROWS = 300
"""Rows that a suggestion is made from."""

ENOUGH = 0.9
"""Share of a column's cells that must be understood as views, sexes, ages or splits."""

MOST = 0.5
"""Share of a column's cells that must name an image, or known findings."""

SEPARATORS = (SEPARATOR, ";", ",", "/", "+")

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "box"})


@dataclass(frozen=True)
class Suggestion:
    """Mapping by which a table may be read.

    Attributes:
        mapping: for `read_mapping`'s file.
        similar: unknown finding -> nearest known one; empty where none is near.
        doubts: sentences about columns that look like something else.
    """

    mapping: TableMapping
    similar: Mapping[str, str]
    doubts: tuple[str, ...]


def suggest_mapping(root: Path, table: Path) -> Suggestion | None:
    """Suggest how a table in a data set's folder is to be read; None if no column names images.

    Raises:
        DatasetError: the table cannot be read at all, or a row is damaged.
    """
    opened = read_table(table, ())
    rows = [row for _, row in islice(opened, ROWS)]
    cells = {
        name: [on_one_line(row[name]) for row in rows if row[name]]
        for name in opened.columns
        if name
    }
    images = ImageLocator(root)
    columns = {"file": _best(cells, "file", lambda cell: _is_image(images, cell), MOST)}
    if columns["file"] is None:
        return None
    left = {name: values for name, values in cells.items() if name != columns["file"]}
    separators = {name: _separator(values) for name, values in left.items()}
    separators_of_all = frozenset(separators.values())
    columns["findings"] = _best(
        left, "findings", lambda cell: _names_a_finding(cell, separators_of_all), MOST
    )
    tests: Mapping[str, Callable[[str], bool]] = {
        "view": lambda cell: parse_view(cell) is not None,
        "sex": lambda cell: sex_of(cell) is not None,
        "age": _is_age,
        "split": lambda cell: cell.casefold() in SPLITS,
        "patient_id": bool,
    }
    doubts = list[str]()
    for wanted, test in tests.items():
        left = {name: values for name, values in left.items() if name not in columns.values()}
        columns[wanted] = _best(left, wanted, test, ENOUGH, by_name=wanted != "view")
        doubts += [] if columns[wanted] else _doubts(left, wanted)
    if columns["patient_id"]:
        doubts += _shortened(columns["patient_id"], cells[columns["patient_id"]])
    else:
        doubts.append(
            "no column is known to name patients, so that two images of one person may land in two "
            "splits; if there is one, name it as patient_id"
        )
    named = columns["findings"]
    separator = separators[named] if named else SEPARATOR
    found = {name: column for name, column in columns.items() if column is not None}
    mapping = TableMapping(table.relative_to(root), found, separator)
    every = [on_one_line(row[named]) for _, row in opened] if named else []
    return Suggestion(mapping, similar_findings(every, separator), tuple(doubts))


def similar_findings(cells: Iterable[str], separator: str) -> dict[str, str]:
    """Find the nearest known finding of each unknown one, frequent ones first; empty for none."""
    names = Counter(
        name.strip() for cell in cells for name in cell.split(separator) if name.strip()
    )
    unknown = [name for name, _ in names.most_common() if canonical(name) not in VOCABULARY]
    return {name: next(iter(nearest_findings(name)), "") for name in unknown}


def _best(
    cells: Mapping[str, Sequence[str]],
    wanted: str,
    test: Callable[[str], bool],
    least: float,
    *,
    by_name: bool = False,
) -> str | None:
    """Find the column whose cells pass a test most often, a known name counting as much.

    Args:
        cells: column -> its cells that are not empty.
        wanted: one of `COLUMNS`.
        test: tells of a cell whether it fits.
        least: share of fitting cells.
        by_name: whether the column must have a known name.
    """
    known = set(map(spelling_key, HEADERS[wanted]))
    best, column = 0.0, None
    for name, values in cells.items():
        fits = sum(map(test, values)) / len(values) if values else 0.0
        is_named = _names_of(name) & known != set()
        if fits >= least and (is_named or not by_name) and fits + is_named > best:
            best, column = fits + is_named, name
    return column


def _names_of(header: str) -> set[str]:
    """Reduce a header to the names that it may be compared by, as "Alter (Jahre)" to "alter"."""
    bare = re.sub(r"[\[(].*?[\])]|[.:#]", " ", header)
    words = _COMPOUND.sub(r"\1 \2", bare.casefold().replace("_", " ").replace("-", " ")).split()
    without = [word for word in words if word not in NUMBERS]
    return {spelling_key(bare), spelling_key(" ".join(without))}


def _is_image(images: ImageLocator, cell: str) -> bool:
    with suppress(DatasetError):
        return images.find(cell, "").is_file()
    return False


def _separator(cells: Sequence[str]) -> str:
    """Find the separator that yields most known findings."""

    def known(separator: str) -> int:
        parts = [part for cell in cells for part in cell.split(separator)]
        return sum(canonical(part) in VOCABULARY for part in parts)

    return max(SEPARATORS, key=known)


def _names_a_finding(cell: str, separators: Iterable[str]) -> bool:
    return any(canonical(part) in VOCABULARY for one in separators for part in cell.split(one))


def _is_age(cell: str) -> bool:
    with suppress(DatasetError):
        return age_of(cell, "") is not None
    return False


def _doubts(cells: Mapping[str, Sequence[str]], wanted: str) -> list[str]:
    """Say which columns are not used although their name is known; cells may identify patients."""
    known = set(map(spelling_key, HEADERS[wanted]))
    return [
        f"the column {name!r} is not read as {wanted}: too many of its cells are none (dates, for "
        "example)"
        for name, values in cells.items()
        if _names_of(name) & known and values
    ]


def _shortened(column: str, cells: Sequence[str]) -> list[str]:
    """Warn of numbers that Excel has shortened, so that different patients may look the same."""
    spoilt = [cell for cell in cells if re.fullmatch(r"\d[.,]\d+E\+\d+", cell)]
    if not spoilt:
        return []
    return [
        f"{len(spoilt):,} cells of {column!r} were shortened by Excel to the form 1.23E+12, so "
        "that different patients may have become one; export the table with this column as text"
    ]
