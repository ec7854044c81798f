"""Views: a closed list with synonyms; errors state the nearest view."""

import pytest

from xemplar.views import parse_view, unknown_view_message


@pytest.mark.parametrize(
    ("written", "view"),
    [("PA", "PA"), (" ap ", "AP"), ("AP (paediatric)", "AP"), ("PA erect", "PA"),
     ("AP_horizontal", "AP"), ("Left lateral", "LATERAL"), ("LLAT", "LL"), ("frontal", "FRONTAL"),
     ("PA oblique", "OBLIQUE"), ("Posteroanterior", "PA"), ("p.a.", "PA"), ("A. P. supine", "AP"),
     ("postero-anterior", "PA")],
)  # fmt: skip
def test_a_view_is_recognised_by_its_synonyms(written: str, view: str) -> None:
    assert parse_view(written) == view


@pytest.mark.parametrize("written", ["", "XP", "John Doe", "PA of John Doe", "supine", "17"])
def test_text_with_unknown_words_is_not_a_view(written: str) -> None:
    assert parse_view(written) is None


def test_the_nearest_view_is_reported() -> None:
    assert unknown_view_message("latral").startswith(
        "unknown view 'latral', perhaps LATERAL; known here: "
    )
    assert unknown_view_message("Profyl").startswith("unknown view 'Profyl', perhaps LATERAL")
    assert "perhaps" not in unknown_view_message("17")
