"""nDCG of ranked lists for many queries at once, shared by service and evaluation.

Gains are float64 (Q, M): for each of Q queries, the gains of M cases in ranking order, most similar
first, 0 for an irrelevant case. Results are float64 (Q,), NaN for a query without relevant cases,
for which nDCG is undefined.
"""

import numpy as np
import numpy.typing as npt

Gains = npt.NDArray[np.float64]


def ndcg(ranked: Gains, k: int) -> Gains:
    """Compute normalised discounted cumulative gain at k (Järvelin & Kekäläinen, TOIS 2002).

    DCG@k = sum over ranks i = 1..k of gain_i / log2(i + 1); divided by the DCG@k of the same cases
    in the best possible order.
    """
    depth = min(k, ranked.shape[1])
    best = best_dcg(ranked, depth)
    return quotient(best > 0, ranked[:, :depth] @ discounts(depth), best)


def discounts(depth: int) -> Gains:
    """Discount of each of the first ranks, float64 (depth,)."""
    return 1 / np.log2(np.arange(depth) + 2)


def best_dcg(gains: Gains, depth: int) -> Gains:
    """Compute the DCG of the best possible order of the cases, to a depth of 1 to M."""
    largest = -np.sort(np.partition(-gains, depth - 1, axis=1)[:, :depth], axis=1)
    best: Gains = largest @ discounts(depth)
    return best


def random_ndcg(gains: Gains) -> Gains:
    """Compute the expected `ndcg` of the whole list over all orders, exactly, for short lists."""
    best = best_dcg(gains, gains.shape[1])
    return quotient(best > 0, gains.mean(axis=1) * discounts(gains.shape[1]).sum(), best)


def quotient(
    defined: npt.NDArray[np.bool_], numerator: npt.ArrayLike, denominator: npt.ArrayLike
) -> Gains:
    """Divide where defined; NaN elsewhere."""
    answer = np.full(defined.shape, np.nan)
    np.divide(numerator, denominator, out=answer, where=defined)
    return answer
