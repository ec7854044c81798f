"""Names: control characters are rejected and escaped; spellings are compared leniently."""

import io

import pytest
from rich.console import Console

from xemplar.cli.terminal import plain
from xemplar.errors import InvalidArgument
from xemplar.names import check_name, escape_unprintable, nearest, spelling_key

NAMES = ["ward-3", "Zürich, Süd", "病院", "می‌خواهم", "[red]x[/]", "O'Hara & Söhne", "\U0001fa7b"]
HARMFUL = ["\x00", "\x1b[2J", "\r", "\n", "\t", "\x7f", "\x85", "\u202e", "\u2066", "\u2028",
           "\u200b", "\ufeff", "\udcff"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_are_accepted(name: str) -> None:
    assert check_name(name, "a name") == name


@pytest.mark.parametrize("harm", HARMFUL)
def test_control_characters_are_rejected_with_code_and_position(harm: str) -> None:
    said = rf"a name is .*: it holds the control character U\+{ord(harm[0]):04X} at position 3"
    with pytest.raises(InvalidArgument, match=said):
        check_name(f"ab{harm}c", "a name")


@pytest.mark.parametrize("harm", [one for one in HARMFUL if one != "\n"])
def test_escaped_text_contains_none_of_them(harm: str) -> None:
    assert escape_unprintable(f"a{harm}b\n").replace("\n", "").isprintable()


@pytest.mark.parametrize("name", [*NAMES, "[/closing]", "[/]", "a\\[b]", "\x1b]0;title\x07"])
def test_markup_is_shown_as_it_is_written(name: str) -> None:
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True, color_system=None).print(plain(name))
    assert out.getvalue() == f"{escape_unprintable(name)}\n"


@pytest.mark.parametrize(
    "written",
    ["Pleural_Thickening", "pleural thickening", " PLEURAL-THICKENING ", "pleural _ thickening"],
)
def test_case_and_word_separators_do_not_matter(written: str) -> None:
    assert spelling_key(written) == "pleuralthickening"


@pytest.mark.parametrize(
    "written", ["Effusion?", "-Effusion", "(Effusion)", "no effusion", "Effusion, small"]
)
def test_other_characters_matter(written: str) -> None:
    assert spelling_key(written) != spelling_key("Effusion")


def test_the_nearest_names_are_the_most_similar() -> None:
    known = ("Effusion", "Infusion pump", "Mass")
    assert nearest("Efusion", known)[0] == "Effusion"
    assert nearest("xyz", known) == ()
    assert nearest("", known) == ()
