"""No word holds what a terminal or a log would obey, and none is obeyed where it is shown."""

import io

import pytest
from rich.console import Console

from xemplar.cli.terminal import plain
from xemplar.data.words import check_word, visible
from xemplar.errors import InvalidArgument

NAMES = ["ward-3", "Zürich, Süd", "病院", "می‌خواهم", "[red]x[/]", "O'Hara & Söhne", "\U0001fa7b"]
HARMFUL = ["\x00", "\x1b[2J", "\r", "\n", "\t", "\x7f", "\x85", "\u202e", "\u2066", "\u2028",
           "\u200b", "\ufeff", "\udcff"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_script_are_taken(name: str) -> None:
    assert check_word(name, "a name") == name


@pytest.mark.parametrize("harm", HARMFUL)
def test_control_characters_are_refused_by_number_and_place(harm: str) -> None:
    said = rf"a name is .*: it holds the control character U\+{ord(harm[0]):04X} at place 3"
    with pytest.raises(InvalidArgument, match=said):
        check_word(f"ab{harm}c", "a name")


@pytest.mark.parametrize("harm", [one for one in HARMFUL if one != "\n"])
def test_what_is_shown_holds_none_of_them(harm: str) -> None:
    assert visible(f"a{harm}b\n").replace("\n", "").isprintable()


@pytest.mark.parametrize("name", [*NAMES, "[/closing]", "[/]", "a\\[b]", "\x1b]0;title\x07"])
def test_markup_is_shown_as_it_is_written(name: str) -> None:
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True, color_system=None).print(plain(name))
    assert out.getvalue() == f"{visible(name)}\n"
