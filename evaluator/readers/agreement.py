"""Agreement of the readers with each other: Cohen's kappa, on average over pairs of readers."""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..bootstrap import estimate_statistic
from ..section import Estimate

CHANCE = 0.0
"""Kappa of readers who agree no more often than by chance."""


def agreement(present: npt.NDArray[np.bool_], resamples: int, seed: int) -> Estimate | None:
    """Estimate the mean kappa of all pairs of readers (Cohen, Educ. Psychol. Meas. 1960).

    Args:
        present: what R readers say of N films, bool (R, N), with R at least 2.
        resamples: of films, for the interval.
        seed: of the draws.

    Returns:
        The mean over the pairs whose kappa is defined; None where none is: all readers say the same
        of all films.
    """

    def mean(times: npt.NDArray[np.float64]) -> float:
        values = [_kappa(one, other, times) for one, other in combinations(present, 2)]
        defined = [value for value in values if np.isfinite(value)]
        return float(np.mean(defined)) if defined else float("nan")

    if np.isnan(mean(np.ones(present.shape[1]))):
        return None
    return estimate_statistic(mean, [None] * present.shape[1], resamples, seed)


def _kappa(
    one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]
) -> float:
    """Kappa of two readers, where each film counts so many times."""
    shares = times / times.sum()
    agreed = float(shares[one == other].sum())
    first, second = float(shares[one].sum()), float(shares[other].sum())
    by_chance = first * second + (1 - first) * (1 - second)
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")
