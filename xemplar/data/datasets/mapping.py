"""``columns.toml``: tells how the table of a folder is read, where its columns are not ours.

`xemplar inspect --fix-columns` writes it, people correct it, and every command that opens the
folder reads it::

    table = "export.csv"
    separator = ";"
    unknown_findings = "refuse"

    [columns]
    file = "Bilddatei"
    findings = "Befund"

    [findings]
    "Stauung" = "Edema"
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xemplar.data.findings import UnknownFindings
from xemplar.errors import DatasetError
from xemplar.names import nearest

MAPPING = "columns.toml"
"""Name of the file in a data set's folder."""

SEPARATOR = "|"
"""Between the findings of a cell, unless a mapping names another one."""

TEXTS = ("report", "findings_text", "impression")
"""Columns of a ``labels.csv`` with text of reports: a whole one, or its sections."""

COLUMNS = (
    "file", "patient_id", "view", "sex", "age", "findings", "split",
    "followup", "day", "outcome", "proof", "outcome_day", *TEXTS,
)  # fmt: skip
"""Columns of a ``labels.csv``; those of other tables are mapped to them."""

WANTED = ("patient_id", "view", "findings")
"""Columns without which training and evaluation are spoilt or impossible."""

_KEYS = ("table", "separator", "unknown_findings", "columns", "findings")


@dataclass(frozen=True)
class TableMapping:
    """Mapping of a table to a data set.

    Attributes:
        table: the table, relative to the folder or not; None for the folder's only one.
        columns: one of `COLUMNS` -> its name in the table.
        separator: between the findings of a cell.
        findings: finding as written in the table -> its name here.
        unknown_findings: policy for findings outside the vocabulary.
    """

    table: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    separator: str = SEPARATOR
    findings: Mapping[str, str] = field(default_factory=dict)
    unknown_findings: UnknownFindings = UnknownFindings.REFUSE

    @property
    def names_a_table(self) -> bool:
        """True where a table is read as mapped, whatever other tables the folder holds."""
        return self.table is not None or bool(self.columns)

    @property
    def options(self) -> list[object]:
        """Content of the mapping for a data set's digest; empty for a usual table."""
        found: list[object] = [*self.columns.items()]
        if self.separator != SEPARATOR or self.findings:
            found += [self.separator, *sorted(self.findings.items())]
        return found


def read_mapping(file: Path) -> TableMapping:
    """Read a ``columns.toml``.

    Raises:
        DatasetError: it is no TOML, or has an unknown key or an unusable value.
    """
    try:
        read: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} is no TOML in UTF-8: {error}") from error
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from error
    _check_keys(file, "", read, _KEYS)
    columns, findings = (_texts(file, name, read.get(name, {})) for name in ("columns", "findings"))
    _check_keys(file, "columns.", columns, COLUMNS)
    table, separator = read.get("table"), read.get("separator", SEPARATOR)
    for name, value in (("table", "" if table is None else table), ("separator", separator)):
        if not isinstance(value, str) or (name == "separator" and not value.strip()):
            raise DatasetError(f"{file}: {name} is {value!r}, and must be a text")
    if columns and "file" not in columns:
        raise DatasetError(f'{file} does not name the column of the image file: file = "..."')
    try:
        policy = UnknownFindings(read.get("unknown_findings", UnknownFindings.REFUSE))
    except ValueError as error:
        raise DatasetError(
            f"{file}: unknown_findings is {read['unknown_findings']!r}, none of "
            f"{', '.join(UnknownFindings)}"
        ) from error
    return TableMapping(Path(table) if table else None, columns, separator, findings, policy)


def mapping_text(mapping: TableMapping, suggested: Mapping[str, str] | None = None) -> str:
    """Write a mapping as TOML.

    Args:
        mapping: to write.
        suggested: unknown finding -> nearest known one, or empty; written as comments, as a similar
            name may mean something else.
    """
    lacking = [name for name in WANTED if name not in mapping.columns]
    lines = [
        "# How xemplar reads this folder's table; written by `xemplar inspect --fix-columns`.",
        "# Correct it where it is wrong; index, train, evaluate and study read it.",
        *([f"table = {_quoted(mapping.table.as_posix())}"] if mapping.table else []),
        f"separator = {_quoted(mapping.separator)}",
        f"unknown_findings = {_quoted(mapping.unknown_findings)}  # or keep, drop",
        "",
        "[columns]",
        *(f"{name} = {_quoted(column)}" for name, column in mapping.columns.items()),
        *(f'# {name} = "..."  # not found; name its column if there is one' for name in lacking),
        "",
        "[findings]",
        *(f"{_quoted(name)} = {_quoted(known)}" for name, known in mapping.findings.items()),
    ]
    if suggested:
        lines.append("# Unknown names; take the # away where both mean the same, or correct it:")
        lines += [f"# {_quoted(name)} = {_quoted(near)}" for name, near in suggested.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML basic string


def _texts(file: Path, name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise DatasetError(f'{file}: {name} must be a table of texts, as [{name}] file = "..."')
    return value


def _check_keys(file: Path, where: str, read: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in read:
        if name not in known:
            near = nearest(name, known, 1)
            perhaps = f", perhaps {near[0]}" if near else ""
            raise DatasetError(
                f"{file}: {where}{name} is unknown{perhaps}; known here: {', '.join(known)}"
            )
