"""Exact chance against the mean over every order of a few cases."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xemplar_evaluator.ranking import chance, metrics

from xemplar.retrieval.ndcg import ndcg, random_ndcg

PAIRS = {
    "nDCG@1": (lambda g: ndcg(g, 1), lambda g, n: chance.ndcg(g, n, 1)),
    "nDCG@3": (lambda g: ndcg(g, 3), lambda g, n: chance.ndcg(g, n, 3)),
    "nDCG@9": (lambda g: ndcg(g, 9), lambda g, n: chance.ndcg(g, n, 9)),
    "exponential": (
        lambda g: metrics.exponential_ndcg(g, 3),
        lambda g, n: chance.exponential_ndcg(g, n, 3),
    ),
    "P@2": (lambda g: metrics.precision(g, 2), lambda g, n: chance.precision(g, n, 2)),
    "P@9": (lambda g: metrics.precision(g, 9), lambda g, n: chance.precision(g, n, 9)),
    "mAP": (metrics.average_precision, chance.average_precision),
    "MRR": (metrics.reciprocal_rank, chance.reciprocal_rank),
}


@pytest.mark.parametrize("name", PAIRS)
@given(
    allowed=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=6),
    barred=st.integers(0, 2),
)
def test_the_formula_is_the_mean_over_all_orders(
    name: str, allowed: list[float], barred: int
) -> None:
    """Cases that a query must not find come last in every order, and are relevant to nobody."""
    figure, expected = PAIRS[name]
    orders = np.array([[*order, *[0.0] * barred] for order in permutations(allowed)])
    found = expected(orders[:1], np.array([len(allowed)]))[0]
    if any(allowed):
        assert found == pytest.approx(figure(orders).mean())
    else:
        assert np.isnan(found)


def test_queries_are_judged_each_by_its_own_cases() -> None:
    gains = np.array([[1.0, 0, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 0]])
    allowed = np.array([4, 3, 4])
    for _, expected in PAIRS.values():
        together = expected(gains, allowed)
        alone = [expected(gains[[n]], allowed[[n]])[0] for n in range(3)]
        np.testing.assert_allclose(together, alone)


def test_of_a_long_list_only_the_share_of_relevant_cases_counts_at_the_top() -> None:
    gains = np.zeros((1, 1000))
    gains[0, :200] = 1
    allowed = np.array([1000])
    assert chance.precision(gains, allowed, 5)[0] == pytest.approx(0.2)
    assert chance.ndcg(gains, allowed, 10)[0] == pytest.approx(0.2)
    # 1 / rank of a hit that comes with chance 0.2 at each rank: -0.2 ln(0.2) / 0.8, nearly
    assert chance.reciprocal_rank(gains, allowed)[0] == pytest.approx(0.402, abs=0.002)
    assert chance.ndcg(gains, allowed, 1000)[0] == pytest.approx(random_ndcg(gains)[0])
