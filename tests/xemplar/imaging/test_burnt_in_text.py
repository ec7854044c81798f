"""Text in the picture: rows of letters are found, whatever they say; markers and ribs are not."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.images import drawn_image
from xemplar.imaging.burnt_in_text import TextBox, text_boxes
from xemplar.phantom.radiograph import phantom

SIDE = 1024
FILM = drawn_image(9, SIDE, SIDE) // 2


def written(
    text: str, *, at: tuple[int, int] = (40, 60), scale: float = 0.8, grey: int = 255
) -> npt.NDArray[np.uint8]:
    """A film with a text, whose lower left corner is at (x, y)."""
    film = FILM.copy()
    cv2.putText(film, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, grey, 2, cv2.LINE_AA)
    return film


def left_unmasked(film: npt.NDArray[np.uint8], boxes: tuple[TextBox, ...]) -> int:
    """Pixels of the text outside all boxes."""
    text = film != FILM
    for left, top, right, bottom in boxes:
        rows = slice(int(top * SIDE), int(bottom * SIDE) + 1)
        text[rows, int(left * SIDE) : int(right * SIDE) + 1] = False
    return int(text.sum())


@pytest.mark.parametrize("text", ["MUSTERMANN, ERIKA", "12.03.1961", "ID 00483920"])
@pytest.mark.parametrize("scale", [0.5, 0.8, 1.6])
@pytest.mark.parametrize("at", [(40, 60), (500, 1000)])
def test_names_dates_and_numbers_are_found_whole(
    text: str, scale: float, at: tuple[int, int]
) -> None:
    film = written(text, at=at, scale=scale)
    boxes = text_boxes(film)
    assert boxes
    assert left_unmasked(film, boxes) == 0


def test_dark_text_on_a_white_label_is_found() -> None:
    film = FILM.copy()
    film[20:80, 20:500] = 255
    cv2.putText(film, "Smith Peter", (40, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2, cv2.LINE_AA)
    (box,) = text_boxes(film)
    assert box.left < 41 / SIDE < 175 / SIDE < box.right


@pytest.mark.parametrize("marker", ["L", "R", "AP", "L JD"])
def test_markers_of_side_and_position_are_no_text(marker: str) -> None:
    assert text_boxes(written(marker, scale=1.2)) == ()


@pytest.mark.parametrize("seed", range(4))
def test_anatomy_is_no_text(seed: int) -> None:
    assert text_boxes(phantom(seed, size=512).pixels) == ()


def test_rows_are_told_apart_from_the_top() -> None:
    film = written("Second row", at=(40, 900))
    cv2.putText(film, "First row", (40, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    first, second = text_boxes(film)
    assert first.bottom < second.top
