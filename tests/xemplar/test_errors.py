"""The documented tree of errors matches the classes."""

import inspect
import re

from xemplar import errors


def drawn() -> dict[str, str | None]:
    """Error -> its parent, as the docstring draws it: four columns of indentation a level."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in inspect.getdoc(errors).splitlines():
        if match := re.match(r"((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(?:  |$)", line):
            level = len(match[1]) // 4
            above[level:] = [match[2]]
            parents[match[2]] = above[level - 1] if level else None
    return parents


def defined() -> dict[str, str | None]:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return {c.__name__: None if c.__base__ is Exception else c.__base__.__name__ for c in classes}


def test_the_documented_tree_matches_the_classes() -> None:
    assert drawn() == defined()


def test_every_error_has_a_docstring() -> None:
    assert [name for name in defined() if not inspect.getdoc(getattr(errors, name))] == []
