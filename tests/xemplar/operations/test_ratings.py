"""Ratings: a reader's whole list at once, whose they are, their history, gone with their cases."""

from threading import Barrier, Thread

import numpy as np
import pytest

from tests.agreement import PATIENCE
from xemplar.api.rating_scale import MAX_RATING
from xemplar.catalog import Catalog, Description, Entry, case_id_of
from xemplar.errors import InvalidArgument, NotFound, PseudonymTaken, TooManyRatings
from xemplar.operations import raters as raters_module
from xemplar.operations import ratings as ratings_module
from xemplar.operations.keys import Keys, Role
from xemplar.operations.raters import Rater, Raters
from xemplar.operations.ratings import Ratings

IMAGE = "f" * 16
ANN, BOB = "1" * 16, "2" * 16  # keys
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
    """(image, rater) -> case -> rating."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in ratings.all():
        found.setdefault((one.image_id, one.rater), {})[one.case_id] = one.rating
    return found


def test_a_reader_s_list_is_replaced_whole(ratings: Ratings) -> None:
    ratings.save(IMAGE, "ann", {A: 5, B: 0})
    ratings.save(IMAGE, "ann", {B: 3, C: 1})
    assert kept(ratings) == {(IMAGE, "ann"): {B: 3, C: 1}}
    ratings.save(IMAGE, "ann", {})
    assert kept(ratings) == {}


def test_readers_and_images_are_kept_apart(ratings: Ratings) -> None:
    ratings.save(IMAGE, "ann", {A: 5})
    ratings.save(IMAGE, "bob", {A: 1})
    ratings.save(A, "ann", {B: 2})  # an indexed case may be the query
    assert kept(ratings) == {(IMAGE, "ann"): {A: 5}, (IMAGE, "bob"): {A: 1}, (A, "ann"): {B: 2}}
    assert [(one.rater, one.rating) for one in ratings.of(IMAGE)] == [("ann", 5), ("bob", 1)]
    assert all(one.rated_at.tzinfo for one in ratings.all())


def test_ratings_go_with_their_case(ratings: Ratings, catalog: Catalog) -> None:
    ratings.save(IMAGE, "ann", {A: 5, B: 0})
    catalog.remove([A])
    assert kept(ratings) == {(IMAGE, "ann"): {B: 0}}


@pytest.mark.parametrize(
    ("rater", "of", "told"),
    [
        ("ann", {A: 6}, "rating 6 of case aaaaaaaaaaaaaaaa is not between 0 and 5"),
        ("ann", {A: -1}, "is not between"),
        ("ann", {IMAGE: 3}, "rated for itself"),
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
        ratings.save(IMAGE, rater, of)
    assert kept(ratings) == {}


def test_an_unknown_case_changes_nothing(ratings: Ratings) -> None:
    ratings.save(IMAGE, "ann", {A: 5})
    with pytest.raises(NotFound, match="there is no case '0000000000000000'"):
        ratings.save(IMAGE, "ann", {B: 1, "0" * 16: 2})
    assert kept(ratings) == {(IMAGE, "ann"): {A: 5}}


def test_of_two_savings_at_once_one_stays_whole(ratings: Ratings) -> None:
    lists = [dict.fromkeys((A, B, C, D), rating) for rating in range(MAX_RATING + 1)]
    threads = [Thread(target=ratings.save, args=(IMAGE, "ann", one)) for one in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(ratings)[IMAGE, "ann"] in lists


# ---- whose a pseudonym is -------------------------------------------------------------------


@pytest.fixture
def raters(catalog: Catalog) -> Raters:
    return Raters(catalog.engine)


def test_a_pseudonym_is_the_first_key_s_that_saves_under_it(
    ratings: Ratings, raters: Raters
) -> None:
    raters.check("ann", ANN)
    raters.check("ann", BOB)  # looking takes nothing
    ratings.save(A, "ann", {B: 5}, key=ANN)
    for said in ({B: 0}, {}):
        with pytest.raises(PseudonymTaken, match=r"another key; choose another one.*PUT /raters"):
            ratings.save(A, "ann", said, key=BOB)
    with pytest.raises(PseudonymTaken, match="'ann' belongs to another key"):
        raters.check("ann", BOB)
    ratings.save(C, "ann", {B: 1}, key=ANN)
    assert kept(ratings) == {(A, "ann"): {B: 5}, (C, "ann"): {B: 1}}
    assert raters.list() == [Rater("ann", ANN)]


def test_what_was_rated_without_keys_is_no_key_s_until_it_is_given(
    ratings: Ratings, raters: Raters, catalog: Catalog
) -> None:
    key, _ = Keys(catalog.engine).create("ann", Role.READER)
    ratings.save(A, "ann", {B: 5})
    ratings.save(A, "ann", {B: 4})  # without keys all are everybody's
    assert raters.list() == [Rater("ann", None)]
    with pytest.raises(PseudonymTaken, match="when pseudonyms belonged to no key"):
        ratings.save(A, "ann", {B: 0}, key=key.id)
    assert raters.assign("ann", key.id) == Rater("ann", key.id)
    ratings.save(A, "ann", {B: 3}, key=key.id)
    assert kept(ratings) == {(A, "ann"): {B: 3}}


def test_a_pseudonym_is_given_to_a_key_that_is_good(raters: Raters, catalog: Catalog) -> None:
    keys = Keys(catalog.engine)
    old, new = (keys.create("ann", Role.READER)[0].id for _ in range(2))
    raters.assign("ann", old)  # also before anything is rated under it
    raters.assign("ann", new)
    with pytest.raises(PseudonymTaken):
        raters.check("ann", old)
    raters.check("ann", new)
    keys.revoke(old)
    for key in (old, "0" * 16):
        with pytest.raises(NotFound, match=f"no key '{key}' that is good"):
            raters.assign("ann", key)
    with pytest.raises(InvalidArgument, match="is no pseudonym"):
        raters.assign("Ann", new)
    assert raters.list() == [Rater("ann", new)]


def test_of_two_keys_at_once_one_has_the_pseudonym(ratings: Ratings, raters: Raters) -> None:
    names = [f"reader-{n}" for n in range(8)]
    refused: list[tuple[str, str]] = []
    together = Barrier(2)

    def all_of(key: str) -> None:
        for name in names:
            together.wait(PATIENCE)
            try:
                ratings.save(A, name, {B: 5}, key=key)
            except PseudonymTaken:
                refused.append((name, key))

    threads = [Thread(target=all_of, args=(key,)) for key in (ANN, BOB)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in refused) == names
    assert not {(one.name, one.key) for one in raters.list()} & set(refused)


def test_a_reader_is_shown_others_ratings_of_cases_that_are_rated_under_the_same_key(
    ratings: Ratings,
) -> None:
    def seen(key: str) -> list[tuple[str, str]]:
        return [(one.rater, one.case_id) for one in ratings.of(D, seen_by=key)]

    ratings.save(D, "ann", {A: 5, B: 4}, key=ANN)
    ratings.save(A, "bob", {B: 0}, key=BOB)  # for another image
    ratings.save(D, "eve", {B: 2})
    assert seen(BOB) == []
    ratings.save(D, "bob", {B: 1}, key=BOB)
    assert seen(BOB) == [("ann", B), ("bob", B), ("eve", B)]
    assert seen(ANN) == [("ann", A), ("ann", B), ("bob", B), ("eve", B)]
    assert len(ratings.of(D)) == 4
    assert [one.case_id for one in ratings.by("ann", D)] == [A, B]


# ---- history --------------------------------------------------------------------------------


def history(ratings: Ratings) -> list[tuple[str, int, bool]]:
    """(case, rating, whether it holds), by case and time."""
    found = ratings.history()
    assert all(one.superseded_at is None or one.rated_at <= one.superseded_at for one in found)
    return [(one.case_id, one.rating, one.superseded_at is None) for one in found]


def test_what_is_changed_or_taken_back_is_kept_and_what_stays_keeps_its_time(
    ratings: Ratings,
) -> None:
    ratings.save(IMAGE, "ann", {A: 5, B: 0, C: 2})
    first = {one.case_id: one.rated_at for one in ratings.all()}
    ratings.save(IMAGE, "ann", {A: 5, B: 1})
    assert history(ratings) == [(A, 5, True), (B, 0, False), (B, 1, True), (C, 2, False)]
    assert {one.case_id: one.rated_at for one in ratings.all()}[A] == first[A]
    ratings.save(IMAGE, "ann", {A: 5, B: 1})
    assert len(history(ratings)) == 4  # saving it again changes nothing
    ratings.save(IMAGE, "ann", {})
    assert [one for one in history(ratings) if one[2]] == []
    assert len(history(ratings)) == 4
    assert ratings.by("ann", IMAGE) == ratings.of(IMAGE) == []


def test_history_goes_with_its_case_and_with_its_image(ratings: Ratings, catalog: Catalog) -> None:
    for rating in (1, 2):
        ratings.save(A, "ann", {B: rating, C: rating})
        ratings.save(C, "ann", {B: rating})
    catalog.remove([B])
    assert history(ratings) == [(C, 1, False), (C, 2, True)]
    catalog.remove([A])  # what is known of its image goes as well
    assert history(ratings) == []


def test_removing_and_rating_at_once_wait_for_each_other(
    ratings: Ratings, catalog: Catalog
) -> None:
    """Each locks the cases in their order: none is told that it stood in another's way."""
    errors: list[Exception] = []

    def rate(image: str, rater: str) -> None:
        for number in range(20):
            try:
                of = [one for one in (A, B, C, D) if one != image]
                ratings.save(image, rater, dict.fromkeys(of, number % 5), key=ANN)
            except NotFound:
                return
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test fails
                errors.append(error)

    threads = [Thread(target=rate, args=(image, rater)) for image in (A, D) for rater in ("a", "b")]
    for thread in threads:
        thread.start()
    catalog.remove([A, C])
    for thread in threads:
        thread.join()
    assert errors == []
    assert {one.case_id for one in ratings.history()} <= {B, D}
    assert {one.image_id for one in ratings.history()} <= {D}


# ---- bounds ---------------------------------------------------------------------------------


def test_images_that_nobody_knows_are_few_until_they_are_known(
    ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings_module, "MAX_UNKNOWN_IMAGES", 2)
    ratings.save("1" * 16, "ann", {A: 1}, key=ANN)
    ratings.save("2" * 16, "ann-2", {A: 1}, key=ANN)
    with pytest.raises(
        NotFound, match=r"nothing is known of the image 3{16}.*send the image again"
    ):
        ratings.save("3" * 16, "ann", {A: 1}, key=ANN)
    ratings.save("2" * 16, "ann-2", {A: 2, B: 1}, key=ANN)  # it is one of the two
    ratings.save("2" * 16, "ann-2", {}, key=ANN)
    ratings.save("2" * 16, "ann-2", {A: 3}, key=ANN)
    ratings.save("3" * 16, "ann", {}, key=ANN)  # nothing is kept of it
    ratings.save("3" * 16, "bob", {A: 1}, key=BOB)
    ratings.save(D, "ann", {A: 1}, key=ANN)  # a case
    ratings.save("3" * 16, "ann", {A: 1}, key=ANN, image_known=True)
    ratings.save("3" * 16, "ann", {A: 2}, key=ANN)  # forgotten meanwhile, and rated before
    ratings.save(
        "1" * 16, "ann", {A: 2}, key=ANN, image_known=True
    )  # sent again: it counts no more
    ratings.save("4" * 16, "ann", {A: 1}, key=ANN)
    for digit in "56789":
        ratings.save(digit * 16, "open", {A: 1})  # without keys there are no limits


def test_one_key_s_ratings_are_bounded_earlier_ones_too(
    ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings_module, "MAX_OF_KEY", 4)
    ratings.save(A, "ann", {B: 1, C: 1}, key=ANN)
    ratings.save(A, "ann", {B: 2, C: 1}, key=ANN)
    ratings.save(A, "ann-2", {B: 1}, key=ANN)
    before = history(ratings)
    for rater, said in (("ann", {B: 3, C: 1}), ("ann-2", {B: 1, C: 1}), ("ann-3", {B: 1})):
        with pytest.raises(TooManyRatings, match=r"of one key 4 ratings.*would make 5"):
            ratings.save(A, rater, said, key=ANN)
    assert history(ratings) == before
    ratings.save(A, "ann", {B: 2}, key=ANN)  # taking back makes none
    ratings.save(A, "bob", {B: 1}, key=BOB)


def test_one_key_takes_so_many_pseudonyms(
    ratings: Ratings, raters: Raters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raters_module, "MAX_RATERS", 2)
    for name in ("ann", "ann-2", "ann"):
        ratings.save(A, name, {B: 1}, key=ANN)
    with pytest.raises(TooManyRatings, match="this key has 2 pseudonyms"):
        ratings.save(A, "ann-3", {B: 1}, key=ANN)
    ratings.save(A, "ann-3", {B: 1}, key=BOB)
    assert [one.name for one in raters.list()] == ["ann", "ann-2", "ann-3"]
