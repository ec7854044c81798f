"""Figures of ranked lists against values worked out by hand, and against scikit-learn."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score
from xemplar_evaluator.ranking.metrics import (
    average_precision,
    exponential,
    exponential_ndcg,
    precision,
    reciprocal_rank,
)

from xemplar.retrieval.ndcg import ndcg, random_ndcg

# gains in the order of the ranking: 3, 0, 2, 1
LIST = np.array([[3.0, 0.0, 2.0, 1.0]])
# exponential gains 7, 0, 3, 1:
# DCG  = 7 + 0 + 3/2 + 1/2.321928 = 7 + 1.5 + 0.430677      = 8.930677
# best = 7 + 3/1.584963 + 1/2     = 7 + 1.892789 + 0.5      = 9.392789
EXPONENTIAL = 8.930677 / 9.392789

gains = arrays(np.float64, (3, 6), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def test_ndcg_with_exponential_gain_is_the_value_worked_out_by_hand() -> None:
    assert ndcg(exponential(LIST), 4)[0] == pytest.approx(EXPONENTIAL, abs=1e-6)
    assert exponential_ndcg(LIST, 4)[0] == pytest.approx(EXPONENTIAL, abs=1e-6)


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


@given(gains)
def test_average_precision_agrees_with_scikit_learn(ranked: npt.NDArray[np.float64]) -> None:
    for row, own in zip(ranked, average_precision(ranked), strict=True):
        if row.any():
            assert own == pytest.approx(average_precision_score(row > 0, np.arange(6, 0, -1)))
