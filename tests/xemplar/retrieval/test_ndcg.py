"""nDCG against values worked out by hand, and against scikit-learn."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import ndcg_score

from xemplar.retrieval.ndcg import ndcg, random_ndcg

# gains in the order of the ranking: 3, 0, 2, 1
LIST = np.array([[3.0, 0.0, 2.0, 1.0]])
# DCG  = 3/log2(2) + 0/log2(3) + 2/log2(4) + 1/log2(5) = 3 + 0 + 1 + 0.430677 = 4.430677
# best = 3/log2(2) + 2/log2(3) + 1/log2(4) + 0         = 3 + 1.261860 + 0.5   = 4.761860
LINEAR = 4.430677 / 4.761860

gains = arrays(np.float64, (3, 6), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def test_ndcg_with_linear_gain_is_the_value_worked_out_by_hand() -> None:
    assert ndcg(LIST, 4)[0] == pytest.approx(LINEAR, abs=1e-6)


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


def test_chance_of_a_short_list_is_the_mean_over_all_orders() -> None:
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
def test_the_best_order_scores_1_and_nothing_scores_more(ranked: npt.NDArray[np.float64]) -> None:
    defined = ranked.any(axis=1)
    assert np.allclose(ndcg(-np.sort(-ranked, axis=1), 6)[defined], 1)
    assert (ndcg(ranked, 6)[defined] <= 1 + 1e-12).all()
