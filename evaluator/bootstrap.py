"""Intervals by resampling patients: images of one patient are not independent of each other."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .section import Estimate

RESAMPLES = 1000
FEWEST = 5
"""Patients from which on an interval is given."""


def estimate(
    values: npt.ArrayLike, patients: Sequence[str | None], resamples: int = RESAMPLES, seed: int = 0
) -> Estimate | None:
    """Mean of values, with a 95 % percentile interval over patients drawn with replacement.

    Cluster bootstrap: Davison & Hinkley, Bootstrap Methods and their Application, 1997, chapter 3.

    Args:
        values: float (n,); NaN where the value is not defined, and left out.
        patients: whose image each value is of, length n; None is a patient of its own.
        resamples: how often patients are drawn.
        seed: of the draws; the same patients give the same draws, so differences can be compared.

    Returns:
        None where no value is defined.
    """
    array = np.asarray(values, np.float64)
    defined = np.flatnonzero(np.isfinite(array))
    if not len(defined):
        return None
    names = [patients[i] if patients[i] is not None else f"image {i}" for i in map(int, defined)]
    _, who = np.unique(np.array(names, str), return_inverse=True)
    total = np.bincount(who, array[defined])
    images = np.bincount(who).astype(np.float64)
    mean = float(total.sum() / images.sum())
    if len(images) < FEWEST:
        return Estimate(mean, None, None, len(defined))
    drawn = np.random.default_rng(seed).multinomial(
        len(images), np.full(len(images), 1 / len(images)), resamples
    )
    means = (drawn @ total) / (drawn @ images)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(mean, float(low), float(high), len(defined))


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
    names = [p if p is not None else f"image {i}" for i, p in enumerate(patients)]
    _, who = np.unique(np.array(names, str), return_inverse=True)
    value = statistic(np.ones(len(names)))
    count = int(who.max()) + 1
    if count < FEWEST:
        return Estimate(value, None, None, len(names))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    values = np.array([statistic(times[who].astype(np.float64)) for times in drawn])
    low, high = np.nanquantile(values, (0.025, 0.975))
    return Estimate(value, float(low), float(high), len(names))
