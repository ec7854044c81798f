"""Queries in memory: how many, whose, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from xemplar_app.recent import RecentQueries

from tests.images import drawn_image, encoded
from xemplar.api import Search
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(60, 300, 200))


@pytest.fixture(scope="module")
def answer(retriever: Retriever) -> Answer:
    return retriever.ask(IMAGE, Search(k=1))


def test_only_so_many_queries_are_kept_and_those_looked_at_last(answer: Answer) -> None:
    one, two, three = (replace(answer, query_id=name) for name in ("one", "two", "three"))
    recent = RecentQueries(2)
    recent.keep(one)
    recent.keep(two)
    assert recent.recall("one") is one
    recent.keep(three)
    assert recent.recall("one") is one
    assert recent.recall("three") is three
    assert recent.recall("two") is None


def test_one_key_s_many_queries_push_out_none_of_another_s(answer: Answer) -> None:
    recent = RecentQueries(4)
    mine = [replace(answer, query_id=f"mine {n}") for n in range(2)]
    for one in mine:
        recent.keep(one, "a")
    for n in range(135):
        recent.keep(replace(answer, query_id=f"many {n}"), "b")
    assert [recent.recall(one.query_id, "a") for one in mine] == mine
    assert recent.newest("a") is mine[1]
    assert recent.recall("many 133", "b")
    assert recent.recall("many 134", "b")
    assert recent.recall("many 132", "b") is None
    recent.keep(replace(answer, query_id="third"), "c")  # of two that hold the most, the older one
    assert recent.recall("mine 0", "a") is None
    assert recent.recall("mine 1", "a") is mine[1]


def test_a_query_is_its_key_s_until_it_is_shared(answer: Answer) -> None:
    recent = RecentQueries(4)
    assert recent.keep(answer, "a")
    for other in ("b", None):
        assert recent.recall(answer.query_id, other) is None
        assert not recent.share(answer.query_id, other)
        assert recent.newest(other) is None
        assert not recent.has_image(answer.image_id, other)
    assert recent.has_image(answer.image_id, "a")
    assert recent.share(answer.query_id, "a")
    assert recent.recall(answer.query_id, "b") is answer
    assert recent.has_image(answer.image_id, "b")
    assert recent.newest("b") is None  # it is no example of theirs
    assert not recent.keep(answer, "b")  # who asks something else of it does not take it
    recent.share(answer.query_id, "b")
    assert recent.newest("b") is None


def test_a_query_that_another_service_shared_is_shared_here(answer: Answer) -> None:
    recent = RecentQueries(4)
    recent.keep(answer, "a")
    recent.keep(replace(answer), "a", shared=True)
    assert recent.recall(answer.query_id, "b") is answer


def test_what_is_too_old_is_dropped(answer: Answer) -> None:
    recent = RecentQueries(4)
    recent.keep(replace(answer, query_id="old"), at=datetime.now(UTC) - timedelta(hours=3))
    recent.keep(answer)
    recent.forget(2)
    assert recent.recall("old") is None
    assert recent.recall(answer.query_id) is answer
