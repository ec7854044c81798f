"""Figures of a ranked list, for many queries at once, beside `xemplar.retrieval.ndcg`.

All take ``ranked``, float64 (Q, M): for each of Q queries, the gains of M cases in the order of the
ranking, the first one most similar, 0 for a case that is not relevant. All give float64 (Q,), NaN
for a query to which no case is relevant: such a query is left out of every mean, as neither 0 nor 1
would say anything of the ranking.
"""

import numpy as np
import numpy.typing as npt

from xemplar.retrieval.ndcg import Gains, ndcg, quotient


def exponential(gains: Gains) -> Gains:
    """2^gain - 1, which rewards the most relevant cases most (Burges et al., ICML 2005)."""
    return np.exp2(gains) - 1


def exponential_ndcg(ranked: Gains, k: int) -> Gains:
    """`ndcg` with `exponential` gains."""
    return ndcg(exponential(ranked), k)


def precision(ranked: Gains, k: int) -> Gains:
    """Share of the first k that are relevant at all."""
    first = ranked[:, :k] > 0
    return quotient(_any(ranked), first.sum(axis=1), np.float64(first.shape[1]))


def average_precision(ranked: Gains) -> Gains:
    """Mean, over the relevant cases, of the precision at the rank of each; its mean is mAP."""
    relevant = ranked > 0
    found = np.cumsum(relevant, axis=1)
    at_each = relevant * found / np.arange(1, ranked.shape[1] + 1)
    return quotient(_any(ranked), at_each.sum(axis=1), found[:, -1])


def reciprocal_rank(ranked: Gains) -> Gains:
    """1 / rank of the first relevant case; its mean is MRR."""
    relevant = ranked > 0
    return quotient(_any(ranked), np.float64(1), relevant.argmax(axis=1) + 1)


def _any(ranked: Gains) -> npt.NDArray[np.bool_]:
    relevant: npt.NDArray[np.bool_] = ranked.max(axis=1, initial=0) > 0
    return relevant
