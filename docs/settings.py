"""Generates the tables of `docs/settings.md` from the settings: `python docs/settings.py`.

A test compares the page with what this would write.
"""

import dataclasses
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic.fields import FieldInfo
from xemplar_app.settings import ServiceSettings
from xemplar_evaluator.settings import EvaluationSettings
from xemplar_pacs.settings import NodeSettings
from xemplar_trainer.settings import Augmentation, TrainingSettings

PAGE = Path(__file__).with_suffix(".md")
TABLE = re.compile(r"(?<=<!-- table: )(\w+) -->\n.*?(?=<!-- end of table -->)", re.DOTALL)
IN_WORDS = {
    "checkpoint": "the shipped one",
    "database_url": "SQLite in the store",
    "findings": "NIH's 14",
    "index_splits": "all",
    "index_url": "files in the store",
}
"""Defaults that depend on the installation, are too long for a table, or empty with a meaning."""

NESTED = {"augmentation", "split"}
"""Fields of a training with options of their own, which the page describes."""

VARIABLES: dict[str, Any] = {
    "service": ("XEMPLAR_", ServiceSettings),
    "node": ("XEMPLAR_PACS_", NodeSettings),
}
"""Settings that are environment variables, with the beginning of their names."""

Row = tuple[str, str, str]
"""Name, default and meaning."""


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text()))


def page(text: str) -> str:
    """Return the page with its tables generated anew."""
    return TABLE.sub(lambda found: f"{found[1]} -->\n{table(found[1])}\n", text)


def table(kind: str) -> str:
    """Return the table of one kind of settings as Markdown."""
    head = ("variable" if kind in VARIABLES else "setting", "default", "meaning")
    cells = (head, ("---",) * 3, *rows(kind))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def rows(kind: str) -> Iterator[Row]:
    """Yield name, default and meaning of each setting."""
    if kind in VARIABLES:
        prefix, settings = VARIABLES[kind]
        for name, field in settings.model_fields.items():
            yield row(f"{prefix}{name.upper()}", name, field, field.annotation, field.default)
        return
    model: Any = {
        "training": TrainingSettings,
        "augmentation": Augmentation,
        "evaluation": EvaluationSettings,
    }[kind]
    hints = get_type_hints(model, include_extras=True)
    for each in dataclasses.fields(model):
        if each.name not in NESTED:
            kind, *more = get_args(hints[each.name])
            field = next(one for one in more if isinstance(one, FieldInfo))
            yield row(each.name, each.name, field, kind, each.default)


def row(shown: str, name: str, field: FieldInfo, kind: Any, default: object) -> Row:
    """Return one row; the values of a choice that its description does not name are added."""
    meaning = (field.description or "").removesuffix(".")
    choices = tuple(kind) if isinstance(kind, type(Enum)) else get_args(kind)
    values = [written(each) for each in choices if isinstance(each, str)]
    if values and not any(value in meaning for value in values):
        meaning += f" ({', '.join(values)})"
    given = IN_WORDS.get(name) or written(default)
    return f"`{shown}`", given, meaning.replace("|", "\\|")


def written(default: object) -> str:
    """Return a default as one would write it."""
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default) or "none"
    if isinstance(default, Enum):
        default = default.value
    if default in ("", None) or default is dataclasses.MISSING:
        return "none"
    return f"`{default}`"


if __name__ == "__main__":
    main()
