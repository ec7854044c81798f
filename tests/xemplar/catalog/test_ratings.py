"""Ratings: a reader's whole list at once, several readers, and gone with their cases."""

from threading import Thread

import numpy as np
import pytest

from xemplar.catalog import Catalog, Description, Entry, case_id_of
from xemplar.catalog.ratings import Ratings
from xemplar.errors import InvalidArgument, NotFound
from xemplar.ratings import MAX_RATING

FILM = "f" * 16
DIGESTS = [digit * 64 for digit in "abcd"]
A, B, C, D = map(case_id_of, DIGESTS)
VECTOR = np.full(4, 0.5, np.float32)


@pytest.fixture
def ratings(catalog: Catalog) -> Ratings:
    entries = [
        Entry(
            image_sha256=digest,
            description=Description(source="drawn"),
            height=1,
            width=1,
            vector=VECTOR,
            logits=VECTOR[:2],
            cams=np.zeros((2, 3, 3), np.float32),
        )
        for digest in DIGESTS
    ]
    catalog.add("0" * 64, entries)
    return Ratings(catalog.engine)


def kept(ratings: Ratings) -> dict[tuple[str, str], dict[str, int]]:
    """(film, rater) -> case -> rating."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in ratings.all():
        found.setdefault((one.film_id, one.rater), {})[one.case_id] = one.rating
    return found


def test_a_reader_s_list_is_replaced_whole(ratings: Ratings) -> None:
    ratings.save(FILM, "ann", {A: 5, B: 0})
    ratings.save(FILM, "ann", {B: 3, C: 1})
    assert kept(ratings) == {(FILM, "ann"): {B: 3, C: 1}}
    ratings.save(FILM, "ann", {})
    assert kept(ratings) == {}


def test_readers_and_films_are_kept_apart(ratings: Ratings) -> None:
    ratings.save(FILM, "ann", {A: 5})
    ratings.save(FILM, "bob", {A: 1})
    ratings.save(A, "ann", {B: 2})  # an indexed case may be the query
    assert kept(ratings) == {(FILM, "ann"): {A: 5}, (FILM, "bob"): {A: 1}, (A, "ann"): {B: 2}}
    assert [(one.rater, one.rating) for one in ratings.of(FILM)] == [("ann", 5), ("bob", 1)]
    assert all(one.rated_at.tzinfo for one in ratings.all())


def test_ratings_go_with_their_case(ratings: Ratings, catalog: Catalog) -> None:
    ratings.save(FILM, "ann", {A: 5, B: 0})
    catalog.remove([A])
    assert kept(ratings) == {(FILM, "ann"): {B: 0}}


@pytest.mark.parametrize(
    ("rater", "of", "told"),
    [
        ("ann", {A: 6}, "rating 6 of case aaaaaaaaaaaaaaaa is not between 0 and 5"),
        ("ann", {A: -1}, "is not between"),
        ("ann", {FILM: 3}, "rated for itself"),
        ("=1+1", {A: 3}, "is no pseudonym"),
        ("-ann", {A: 3}, "is no pseudonym"),
        ("Ann B", {A: 3}, "is no pseudonym"),
        ("ann\n", {A: 3}, "is no pseudonym"),
        ("", {A: 3}, "is no pseudonym"),
    ],
)
def test_what_is_no_rating_is_refused(
    ratings: Ratings, rater: str, of: dict[str, int], told: str
) -> None:
    with pytest.raises(InvalidArgument, match=told):
        ratings.save(FILM, rater, of)
    assert kept(ratings) == {}


def test_an_unknown_case_changes_nothing(ratings: Ratings) -> None:
    ratings.save(FILM, "ann", {A: 5})
    with pytest.raises(NotFound, match="there is no case '0000000000000000'"):
        ratings.save(FILM, "ann", {B: 1, "0" * 16: 2})
    assert kept(ratings) == {(FILM, "ann"): {A: 5}}


def test_of_two_savings_at_once_one_stays_whole(ratings: Ratings) -> None:
    lists = [dict.fromkeys((A, B, C, D), rating) for rating in range(MAX_RATING + 1)]
    threads = [Thread(target=ratings.save, args=(FILM, "ann", one)) for one in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(ratings)[FILM, "ann"] in lists
