"""Expected figures of a ranking in random order, exactly: chance needs no draws.

All take

- ``gains``: float64 (Q, M), for each of Q queries, the gains of M cases in any order; 0 for a case
  that is not relevant;
- ``allowed``: int (Q,), how many of the M the query may find. The others have gain 0 and come last
  in every order,

and give float64 (Q,), the mean of the figure of `evaluator.ranking.metrics` (or of
`xemplar.retrieval.ndcg.ndcg`) over all orders of the allowed cases; NaN where that is undefined.
"""

import numpy as np
import numpy.typing as npt

from xemplar.retrieval.ndcg import Gains, best_dcg, discounts, quotient

from .metrics import exponential

Counts = npt.NDArray[np.integer]


def ndcg(gains: Gains, allowed: Counts, k: int) -> Gains:
    """Each of the first k ranks holds the mean gain."""
    depth = min(k, gains.shape[1])
    ranks = np.cumsum(np.insert(discounts(depth), 0, 0))
    best = best_dcg(gains, depth)
    mean = gains.sum(axis=1) / np.maximum(allowed, 1)
    return quotient(best > 0, mean * ranks[np.minimum(allowed, depth)], best)


def exponential_ndcg(gains: Gains, allowed: Counts, k: int) -> Gains:
    """`ndcg` with `evaluator.ranking.metrics.exponential` gains."""
    return ndcg(exponential(gains), allowed, k)


def precision(gains: Gains, allowed: Counts, k: int) -> Gains:
    """Each of the first k ranks is relevant with the same chance."""
    relevant = _relevant(gains)
    depth = min(k, gains.shape[1])
    found = relevant / np.maximum(allowed, 1) * np.minimum(allowed, depth)
    return quotient(relevant > 0, found, np.float64(depth))


def average_precision(gains: Gains, allowed: Counts) -> Gains:
    """Mean of 1/R sum over ranks i of (relevant at i) (relevant up to i) / i.

    With R of n cases relevant, rank i is relevant with chance R / n, and each of the i - 1 before
    it then with (R - 1) / (n - 1). With H the sum of 1 / i for i = 1..n, the mean is
    (H + (R - 1) / (n - 1) (n - H)) / n.
    """
    relevant, n = _relevant(gains), allowed.astype(np.float64)
    harmonic = np.cumsum(np.insert(1 / np.arange(1.0, gains.shape[1] + 1), 0, 0))[allowed]
    others = (relevant - 1) / np.maximum(n - 1, 1) * (n - harmonic)
    return quotient(relevant > 0, harmonic + others, n)


def reciprocal_rank(gains: Gains, allowed: Counts) -> Gains:
    """Mean of 1 / rank of the first relevant case, a negative hypergeometric variable.

    With R of n cases relevant, the first lies at rank 1 with chance R / n, and at rank i + 1 with
    (n - i - R + 1) / (n - i) times the chance of rank i.
    """
    relevant, n = _relevant(gains)[:, None], allowed[:, None].astype(np.float64)
    i = np.arange(1.0, gains.shape[1])
    # beyond rank n - R + 1 the first factor of 0 ends the product
    steps = np.clip(n - i - relevant + 1, 0, None) / np.maximum(n - i, 1)
    chance = np.cumprod(np.hstack([relevant / np.maximum(n, 1), steps]), axis=1)
    mean = (chance / np.arange(1.0, gains.shape[1] + 1)).sum(axis=1)
    return quotient(relevant[:, 0] > 0, mean, np.float64(1))


def _relevant(gains: Gains) -> Gains:
    relevant: Gains = (gains > 0).sum(axis=1).astype(np.float64)
    return relevant
