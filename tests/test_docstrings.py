"""Dotted names in docstrings and comments resolve: a rename reaches them, too."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "xemplar": "xemplar",
    "app": "xemplar_app",
    "indexer": "xemplar_indexer",
    "trainer": "xemplar_trainer",
    "evaluator": "xemplar_evaluator",
    "study": "xemplar_study",
    "pacs": "xemplar_pacs",
}
NAME = re.compile(r"`(?P<name>[A-Za-z_][\w.]*)(?:\(\))?`")
PROGRAMS = {"app", "indexer", "trainer", "evaluator", "pacs", "study", "tests", "benchmarks"}


def modules() -> Iterator[Path]:
    """Python files of library and programs."""
    for folder in FOLDERS:
        yield from sorted(
            path for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts
        )


def names_of(path: Path) -> set[str]:
    """Dotted names of this project that the docstrings and comments of a file put in backticks."""
    text = path.read_text(encoding="utf-8")
    strings = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = {match["name"] for told in (*strings, text) for match in NAME.finditer(told)}
    return {
        name
        for name in found
        if "." in name
        and name.split(".")[0] in {"xemplar", *PROGRAMS, *FOLDERS.values()}
        and name != "xemplar.commands"  # a group of entry points
    }


def exists(name: str) -> bool:
    """Tell if a dotted name is a module, or an attribute of one."""
    first, _, rest = name.partition(".")
    parts = [FOLDERS.get(first, first), *rest.split(".")]
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            annotated = getattr(found, "__annotations__", {}) | getattr(
                found, "__dataclass_fields__", {}
            )
            if part in annotated and not hasattr(found, part):
                return True
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_names_in_docstrings_resolve() -> None:
    named = {(path, name) for path in modules() for name in names_of(path)}
    resolved = {name: exists(name) for _, name in named}
    missing = sorted(
        f"{path.relative_to(ROOT)}: {name}" for path, name in named if not resolved[name]
    )
    assert not missing
