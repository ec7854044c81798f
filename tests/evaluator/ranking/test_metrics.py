"""Figures of ranked lists against values worked out by hand, and against scikit-learn."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, ndcg_score

from evaluator.ranking.metrics import (
    average_precision,
    exponential,
    exponential_ndcg,
    ndcg,
    precision,
    random_ndcg,
    reciprocal_rank,
)

# gains in the order of the ranking: 3, 0, 2, 1
LIST = np.array([[3.0, 0.0, 2.0, 1.0]])
# DCG  = 3/log2(2) + 0/log2(3) + 2/log2(4) + 1/log2(5) = 3 + 0 + 1 + 0.430677 = 4.430677
# best = 3/log2(2) + 2/log2(3) + 1/log2(4) + 0         = 3 + 1.261860 + 0.5   = 4.761860
LINEAR = 4.430677 / 4.761860
# exponential gains 7, 0, 3, 1:
# DCG  = 7 + 0 + 3/2 + 1/2.321928 = 7 + 1.5 + 0.430677      = 8.930677
# best = 7 + 3/1.584963 + 1/2     = 7 + 1.892789 + 0.5      = 9.392789
EXPONENTIAL = 8.930677 / 9.392789

gains = arrays(np.float64, (3, 6), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def test_ndcg_with_linear_gain_is_the_value_worked_out_by_hand() -> None:
    assert ndcg(LIST, 4)[0] == pytest.approx(LINEAR, abs=1e-6)


def test_ndcg_with_exponential_gain_is_the_value_worked_out_by_hand() -> None:
    assert ndcg(exponential(LIST), 4)[0] == pytest.approx(EXPONENTIAL, abs=1e-6)
    assert exponential_ndcg(LIST, 4)[0] == pytest.approx(EXPONENTIAL, abs=1e-6)


def test_ndcg_at_2_looks_at_two_places_of_list_and_of_best_order() -> None:
    # (3 + 0) / (3 + 2/log2(3)) = 3 / 4.261860
    assert ndcg(LIST, 2)[0] == pytest.approx(3 / 4.261860, abs=1e-6)


def test_swapping_two_neighbours_changes_ndcg_by_the_amount_worked_out_by_hand() -> None:
    # places 2 and 3 swapped: gains 3, 2, 0, 1. The gain 2 moves from 1/log2(4) = 0.5 to
    # 1/log2(3) = 0.630930, so DCG grows by 2 * 0.130930 = 0.261860, nDCG by that over 4.761860
    swapped = ndcg(LIST[:, [0, 2, 1, 3]], 4)[0]
    assert swapped - ndcg(LIST, 4)[0] == pytest.approx(0.261860 / 4.761860, abs=1e-6)


def test_swapping_equal_gains_changes_nothing() -> None:
    tied = np.array([[1.0, 1.0, 0.0]])
    assert ndcg(tied, 3)[0] == ndcg(tied[:, [1, 0, 2]], 3)[0] == 1


def test_precision_counts_relevant_cases_among_the_first() -> None:
    assert precision(LIST, 1)[0] == 1
    assert precision(LIST, 3)[0] == pytest.approx(2 / 3)


def test_precision_of_a_list_shorter_than_k_is_over_the_list() -> None:
    assert precision(LIST, 10)[0] == pytest.approx(3 / 4)


def test_average_precision_is_the_value_worked_out_by_hand() -> None:
    # relevant at ranks 1, 3, 4: (1/1 + 2/3 + 3/4) / 3 = 2.416667 / 3
    assert average_precision(LIST)[0] == pytest.approx(2.416667 / 3, abs=1e-6)


def test_reciprocal_rank_is_of_the_first_relevant_case() -> None:
    assert reciprocal_rank(np.array([[0.0, 0.0, 0.5, 1.0]]))[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "metric",
    [
        lambda g: ndcg(g, 3),
        lambda g: exponential_ndcg(g, 3),
        random_ndcg,
        lambda g: precision(g, 3),
        average_precision,
        reciprocal_rank,
    ],
)
def test_a_query_without_a_relevant_case_is_neither_0_nor_1_but_left_out(metric) -> None:
    both = metric(np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    assert math.isnan(both[0])
    assert np.isfinite(both[1])


def test_chance_of_a_short_list_is_the_mean_over_all_orders() -> None:
    from itertools import permutations

    orders = [ndcg(LIST[:, list(order)], 4)[0] for order in permutations(range(4))]
    assert random_ndcg(LIST)[0] == pytest.approx(np.mean(orders))
    assert random_ndcg(LIST)[0] > 0.75  # a random order of a short list scores high


@given(gains)
def test_ndcg_agrees_with_scikit_learn(ranked: npt.NDArray[np.float64]) -> None:
    falling = np.arange(6, 0, -1.0)[None]
    for row, own in zip(ranked, ndcg(ranked, 4), strict=True):
        if row.any():
            assert own == pytest.approx(ndcg_score(row[None], falling, k=4))


@given(gains)
def test_average_precision_agrees_with_scikit_learn(ranked: npt.NDArray[np.float64]) -> None:
    for row, own in zip(ranked, average_precision(ranked), strict=True):
        if row.any():
            assert own == pytest.approx(average_precision_score(row > 0, np.arange(6, 0, -1)))


@given(gains)
def test_the_best_order_scores_1_and_nothing_scores_more(ranked: npt.NDArray[np.float64]) -> None:
    defined = ranked.any(axis=1)
    assert np.allclose(ndcg(-np.sort(-ranked, axis=1), 6)[defined], 1)
    assert (ndcg(ranked, 6)[defined] <= 1 + 1e-12).all()
