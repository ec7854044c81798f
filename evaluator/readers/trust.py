"""Effects of cases on readers: do wrong ones mislead, and do readers tell them from others?

Intervals are over films; the readers are taken as they are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..auc import auc_of
from ..bootstrap import estimate, estimate_ratio, estimate_statistic
from ..section import Estimate
from .areas import Floats
from .readings import Readings


@dataclass(frozen=True)
class Influence:
    """Changes by an arm's cases, compared with the arm without cases.

    Attributes:
        misled: share of the right answers without cases that are wrong with them; None if none was
            right.
        helped: share of the wrong answers that are right with them; None if none was wrong.
        towards_truth: mean change of confidence, in points of 100; positive towards the truth.
    """

    misled: Estimate | None
    helped: Estimate | None
    towards_truth: Estimate | None


def influence(readings: Readings, without: int, arm: int, resamples: int, seed: int) -> Influence:
    """Estimate what the cases of an arm change.

    Args:
        readings: complete.
        without: index of the arm without cases.
        arm: index of the other.
        resamples: of films.
        seed: of the draws.
    """
    right = readings.right
    films = [film for _ in readings.readers for film in readings.films]
    before, after = right[without].ravel(), right[arm].ravel()
    sign = np.where(readings.truth, 1, -1)
    moved = (readings.confidence[arm] - readings.confidence[without]) * sign

    def share(hit: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> Estimate | None:
        return estimate_ratio(hit & of, of, films, resamples, seed)

    return Influence(
        misled=share(~after, before),
        helped=share(after, ~before),
        towards_truth=estimate(moved.ravel(), films, resamples, seed),
    )


def brier(readings: Readings, arm: int, resamples: int, seed: int) -> Estimate | None:
    """Estimate the mean squared error of confidence / 100; 0 is best.

    A reader who always names the share of films with the finding has share * (1 - share).
    """
    error = (readings.confidence[arm] / 100 - readings.truth) ** 2
    films = [film for _ in readings.readers for film in readings.films]
    return estimate(error.ravel(), films, resamples, seed)


def told_apart(
    readings: Readings, similar: int, wrong: int, resamples: int, seed: int
) -> Estimate | None:
    """Estimate how well the readers' trust tells similar cases from wrong ones.

    The chance that a reader trusts the similar cases of one film more than the wrong cases of
    another, or of the same, on average over readers: an AUC, 0.5 by chance.

    Returns:
        None where trust was not asked for.
    """
    trust = readings.trust[[similar, wrong]]
    if not np.isfinite(trust).all():
        return None
    films = len(readings.films)
    kind = np.arange(2 * films) < films
    curves = [auc_of(kind, _both(trust[:, reader])) for reader in range(len(readings.readers))]

    def mean(times: npt.NDArray[np.float64]) -> float:
        return float(np.mean([curve(np.concatenate([times, times])) for curve in curves]))

    return estimate_statistic(mean, list(readings.films), resamples, seed)


def _both(of_reader: Floats) -> Floats:
    return np.concatenate([of_reader[0], of_reader[1]])
