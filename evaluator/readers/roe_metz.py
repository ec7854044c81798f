"""Simulated reader studies, of which the truth is known: the model of Roe & Metz."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from .areas import Floats


@dataclass(frozen=True)
class Variances:
    """Variances of a reader's score over what it depends on; those of films add up to 1.

    Attributes:
        reader: of readers, for films with and for films without the finding.
        arm_reader: of readers within an arm, likewise.
        film: of films.
        arm_film: of films within an arm.
        reader_film: of films for a reader.
        rest: of one judgement.
    """

    reader: float
    arm_reader: float
    film: float
    arm_film: float
    reader_film: float
    rest: float


STRUCTURES: Mapping[str, Variances] = MappingProxyType(
    {
        "HL": Variances(0.0082, 0.0082, 0.3, 0.3, 0.2, 0.2),
        "LL": Variances(0.0082, 0.0082, 0.1, 0.1, 0.2, 0.6),
        "HH": Variances(0.0447, 0.0447, 0.3, 0.3, 0.2, 0.2),
        "LH": Variances(0.0447, 0.0447, 0.1, 0.1, 0.2, 0.6),
    }
)
"""Correlation of scores, then variation of readers, high or low: for an AUC near 0.72 (Hillis,
Stat. Med. 2018, table 2)."""


def separation(auc: float, variances: Variances) -> float:
    """Distance of the means of films with and without the finding that gives a mean AUC.

    Args:
        auc: mean over readers, in (0, 1).
        variances: of the scores.
    """
    spread = 2 * (1 + variances.reader + variances.arm_reader)
    return float(np.sqrt(spread) * norm.ppf(auc))


def simulate(
    truth: npt.NDArray[np.bool_],
    readers: int,
    distances: npt.ArrayLike,
    variances: Variances,
    draw: np.random.Generator | np.random.RandomState,
) -> Floats:
    """Draw the scores of one study.

    Roe & Metz, Acad. Radiol. 1997, with equal variances of films with and without the finding.

    Args:
        truth: bool (N,), True for films with the finding.
        readers: number of readers R.
        distances: of the means in each arm, float (A,); see `separation`.
        variances: of the scores.
        draw: source of randomness.

    Returns:
        Scores, float64 (A, R, N).
    """
    means = np.asarray(distances, np.float64)
    arms, films = len(means), len(truth)
    scores = np.zeros((arms, readers, films))

    def drawn(variance: float, count: int) -> Floats:
        return np.asarray(draw.standard_normal(count) * np.sqrt(variance), np.float64)

    scores += drawn(variances.film, films)
    for arm in range(arms):
        scores[arm] += drawn(variances.arm_film, films) + means[arm] * truth
    for reader in range(readers):
        with_it, without = drawn(variances.reader, 2)
        scores[:, reader] += np.where(truth, with_it, without)
        scores[:, reader] += drawn(variances.reader_film, films)
        for arm in range(arms):
            with_it, without = drawn(variances.arm_reader, 2)
            scores[arm, reader] += np.where(truth, with_it, without)
            scores[arm, reader] += drawn(variances.rest, films)
    return scores
