"""Names that are the same, and names that are only alike."""

import pytest

from xemplar.data.spelling import nearest, spelling_key


@pytest.mark.parametrize(
    "written",
    ["Pleural_Thickening", "pleural thickening", " PLEURAL-THICKENING ", "pleural _ thickening"],
)
def test_capitals_and_what_joins_words_do_not_matter(written: str) -> None:
    assert spelling_key(written) == "pleuralthickening"


@pytest.mark.parametrize(
    "written", ["Effusion?", "-Effusion", "(Effusion)", "no effusion", "Effusion, small"]
)
def test_anything_else_does(written: str) -> None:
    assert spelling_key(written) != spelling_key("Effusion")


def test_the_nearest_names_are_the_most_alike() -> None:
    known = ("Effusion", "Infusion pump", "Mass")
    assert nearest("Efusion", known)[0] == "Effusion"
    assert nearest("xyz", known) == ()
    assert nearest("", known) == ()
