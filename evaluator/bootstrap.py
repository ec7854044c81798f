"""Intervals by resampling patients: images of one patient are not independent of each other.

Nothing here depends on patients' names: a pseudonym is made with a store's random key, and the same
images in another store must have the same intervals.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from .section import Estimate

RESAMPLES = 1000
FEWEST = 16
"""Patients from which on an interval is given: fewer tell too little of how patients differ."""


def estimate(
    values: npt.ArrayLike, patients: Sequence[str | None], resamples: int = RESAMPLES, seed: int = 0
) -> Estimate | None:
    """Mean of values, with a 95 % interval over patients drawn with replacement.

    Cluster bootstrap (Davison & Hinkley, Bootstrap Methods and their Application, 1997, chapter 3);
    the percentiles are those of `tails`.

    Args:
        values: float (n,); NaN where the value is not defined, and left out.
        patients: whose image each value is of, length n; None is a patient of its own.
        resamples: how often patients are drawn.
        seed: of the draws; the same patients give the same draws, so differences can be compared.

    Returns:
        None where no value is defined.
    """
    array = np.asarray(values, np.float64)
    return estimate_ratio(array, np.ones_like(array), patients, resamples, seed)


def estimate_ratio(
    values: npt.ArrayLike,
    others: npt.ArrayLike,
    patients: Sequence[str | None],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate | None:
    """Estimates the mean of values over the mean of others on the same images; see `estimate`.

    Returns:
        None where no image has both, or the others' mean is 0.
    """
    above, below = np.asarray(values, np.float64), np.asarray(others, np.float64)
    defined = np.flatnonzero(np.isfinite(above) & np.isfinite(below))
    if not below[defined].sum():
        return None
    who = clusters([patients[i] for i in map(int, defined)])
    sums = np.stack([np.bincount(who, part[defined]) for part in (above, below)], axis=1)
    total = sums.sum(axis=0)
    ratio = float(total[0] / total[1])
    if len(sums) < FEWEST:
        return Estimate(ratio, None, None, len(defined))
    drawn = _drawn(len(sums), resamples, seed) @ sums
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], tails(len(sums)))
    return Estimate(ratio, float(low), float(high), len(defined))


def estimate_statistic(
    statistic: Callable[[npt.NDArray[np.float64]], float],
    patients: Sequence[str | None],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimates a statistic that is no mean, such as an area under a curve; see `estimate`.

    Args:
        statistic: of how often each of the n images counts, float64 (n,); NaN where that makes it
            undefined, and that draw is left out.
        patients: as in `estimate`, length n.
        resamples: likewise.
        seed: likewise.
    """
    who = clusters(patients)
    value = statistic(np.ones(len(who)))
    count = int(who.max()) + 1
    if count < FEWEST:
        return Estimate(value, None, None, len(who))
    drawn = _drawn(count, resamples, seed)
    values = np.array([statistic(times[who].astype(np.float64)) for times in drawn])
    low, high = np.nanquantile(values, tails(count))
    return Estimate(value, float(low), float(high), len(who))


def clusters(patients: Sequence[str | None]) -> npt.NDArray[np.intp]:
    """Number the patients in the order of their first image, int (n,); None is one of its own."""
    numbers: dict[str | int, int] = {}
    keys = (i if patient is None else patient for i, patient in enumerate(patients))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def tails(patients: int) -> tuple[float, float]:
    """Percentiles of the resamples that hold the true value 95 times in 100.

    A resample of n patients varies by sqrt((n - 1) / n) too little, and the normal quantile is too
    small where the variance is estimated too. Both are made up for by wider percentiles (the
    expanded percentile interval: Hesterberg, The American Statistician 2015, section 4).
    """
    wider = t.ppf(0.975, patients - 1) * np.sqrt(patients / (patients - 1))
    low = float(norm.cdf(-wider))
    return low, 1 - low


def _drawn(patients: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Count how often each patient is in each resample, int (resamples, patients)."""
    shares = np.full(patients, 1 / patients)
    return np.random.default_rng(seed).multinomial(patients, shares, resamples)
