"""The search vector of a steered search, and the parts of a case's score."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xemplar.index.vectors import unit
from xemplar.errors import InvalidArgument
from xemplar.model.densenet import EmbeddingHead, Features, features
from xemplar.retrieval.steering import LIKE, UNLIKE, Target, target_of

CHANNELS, GRID = 6, 3
NONE = np.empty((0, 0), np.float32)
EVERYWHERE = np.ones((GRID, GRID))


def image(seed: int) -> Features:
    random = np.random.default_rng(seed)
    maps, mean = random.random((2, CHANNELS, GRID, GRID), np.float32)
    classifier = np.zeros((1, CHANNELS), np.float32)
    return features(maps[None], classifier, np.zeros(1, np.float32), EmbeddingHead(mean))


def cases(count: int, seed: int) -> npt.NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(count, CHANNELS))) if count else NONE


def test_without_marks_and_region_the_search_is_for_the_embedding_itself() -> None:
    asked = image(0)
    target = target_of(asked, None, NONE, NONE)
    assert target.vector is target.image
    assert np.array_equal(target.vector, asked.embedding[0])
    assert target.steering(cases(1, 1)[0], 0.5) is None


@given(
    seed=st.integers(0, 99),
    like=st.integers(0, 4),
    unlike=st.integers(0, 4),
    others=st.integers(0, 3),
    corner=st.none() | st.tuples(st.integers(0, GRID - 1), st.integers(0, GRID - 1)),
)
def test_the_parts_of_a_score_add_up_to_it(
    seed: int, like: int, unlike: int, others: int, corner: tuple[int, int] | None
) -> None:
    region = None
    if corner is not None:
        region = np.zeros((GRID, GRID))
        region[corner[0] :, corner[1] :] = 1
    elif not like + unlike + others:
        like = 1
    beside = cases(others, seed + 4)
    target = target_of(image(seed), region, cases(like, seed + 1), cases(unlike, seed + 2), beside)
    assert np.linalg.norm(target.vector) == pytest.approx(1, abs=1e-6)
    (case,) = cases(1, seed + 3)
    score = float(target.vector @ case)
    found = target.steering(case, score)
    assert found is not None
    assert found.image + found.like + found.unlike == pytest.approx(score, abs=1e-6)
    assert len(found.images) == (others + 1 if others else 0)
    assert sum(found.images) == pytest.approx(found.image if others else 0, abs=1e-6)
    assert bool(found.like) == bool(like)
    assert bool(found.unlike) == bool(unlike)


def test_marked_cases_count_by_their_mean_in_rocchios_weights() -> None:
    asked, like, unlike = image(1), cases(3, 5), cases(2, 6)
    wanted = asked.embedding[0] + LIKE * like.mean(axis=0) - UNLIKE * unlike.mean(axis=0)
    found = target_of(asked, None, like, unlike).vector
    assert found == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_images_of_one_question_count_as_much_as_each_other() -> None:
    asked, others = image(1), cases(2, 8)
    mean = np.vstack([asked.embedding, others]).mean(axis=0)
    found = target_of(asked, None, NONE, NONE, others).vector
    assert found == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_marks_weigh_beside_several_images_what_they_weigh_beside_one() -> None:
    asked, others, like = image(1), cases(2, 8), cases(1, 5)
    images = target_of(asked, None, NONE, NONE, others).vector
    wanted = images + LIKE * like[0]
    found = target_of(asked, None, like, NONE, others).vector
    assert found == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_images_that_cancel_out_leave_nothing_to_search_for() -> None:
    asked = image(1)
    with pytest.raises(InvalidArgument, match="cancel out"):
        target_of(asked, None, NONE, NONE, -asked.embedding)


def test_a_search_moves_towards_what_is_liked_and_away_from_what_is_not() -> None:
    asked, (marked,) = image(2), cases(1, 7)

    def score(target: Target) -> float:
        return float(target.vector @ marked)

    plain = score(target_of(asked, None, NONE, NONE))
    assert score(target_of(asked, None, marked[None], NONE)) > plain
    assert score(target_of(asked, None, NONE, marked[None])) < plain


def test_the_region_of_the_whole_image_is_the_image() -> None:
    asked = image(3)
    assert target_of(asked, EVERYWHERE, NONE, NONE).vector == pytest.approx(
        asked.embedding[0], abs=1e-6
    )


def test_a_region_without_any_features_is_refused() -> None:
    asked = image(4)
    empty = Features(asked.embedding, asked.logits, asked.head.mean[None], asked.head)
    with pytest.raises(InvalidArgument, match="mark other cases, or a larger region"):
        target_of(empty, EVERYWHERE, NONE, NONE)
