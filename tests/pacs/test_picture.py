"""The picture shows the answer, and nothing of the patient."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_pacs.results.picture import (
    ACROSS,
    GROUND,
    QUERY,
    WIDTH,
    answer_picture,
    drawable,
    percent,
)

from tests.images import drawn_image
from tests.pacs.conftest import Asked, ask
from tests.pacs.films import film
from xemplar.api.search import Search
from xemplar.retrieval.retriever import Retriever


def drawn(asked: Asked) -> np.ndarray:
    return answer_picture(asked.retriever.live, asked.retriever.media, asked.answer)


def test_is_rgb_of_a_fixed_width(asked: Asked) -> None:
    picture = drawn(asked)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (WIDTH, 3)


def test_of_the_same_answer_is_the_same(asked: Asked) -> None:
    assert np.array_equal(drawn(asked), drawn(asked))


def test_has_the_query_in_colour_where_a_finding_is_called(asked: Asked) -> None:
    called = next(p for p in asked.answer.predictions if p.finding == asked.answer.explained)
    assert called.called
    at = slice(130, 130 + QUERY - 60), slice(140, 140 + QUERY - 200)
    strong = replace(asked, answer=replace(asked.answer, cams=np.ones_like(asked.answer.cams)))
    colours = drawn(strong)[at].astype(int)
    assert np.ptp(colours, axis=2).max() > 50


def test_has_the_query_in_grey_where_none_is(asked: Asked) -> None:
    predictions = tuple(replace(p, called=False) for p in asked.answer.predictions)
    grey = replace(asked, answer=replace(asked.answer, predictions=predictions))
    at = slice(130, 130 + QUERY - 60), slice(140, 140 + QUERY - 200)
    assert np.ptp(drawn(grey)[at].astype(int), axis=2).max() == 0


@pytest.mark.parametrize("k", [1, ACROSS, ACROSS + 1, 10])
def test_has_room_for_all_cases(retriever: Retriever, k: int) -> None:
    asked = ask(retriever, film(drawn_image(50)), Search(k=k))
    picture = drawn(asked)
    ground = np.array([int(GROUND[n : n + 2], 16) for n in (1, 3, 5)])
    # the last card, and no card after it
    right = picture[:, WIDTH - 300 : WIDTH - 30]
    assert (right != ground).any(axis=(1, 2)).sum() > 100
    assert picture.shape[0] >= 76 + -(-k // ACROSS) * 400


def test_of_an_answer_without_cases_says_so(retriever: Retriever) -> None:
    nobody = ask(retriever, film(drawn_image(50)), Search(k=3, source=["nowhere"]))
    assert nobody.answer.neighbours == ()
    assert drawn(nobody).shape[1] == WIDTH


def test_draws_only_letters_that_the_font_has() -> None:
    assert drawable("Pleural_Thickening Größe 山") == "Pleural Thickening Gro?e ?"


@pytest.mark.parametrize(
    ("share", "written"), [(0, "0 %"), (0.004, "< 1 %"), (0.584, "58 %"), (1, "100 %")]
)
def test_writes_shares_as_the_page_does(share: float, written: str) -> None:
    assert percent(share) == written
