"""Areas under the readers' ROC curves, and the covariances of these areas over films."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.errors import DatasetError

Floats: TypeAlias = npt.NDArray[np.float64]
Covariances: TypeAlias = Literal["jackknife", "DeLong"]

FEWEST = 2
"""Films with, and films without the finding from which on covariances exist."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas under the ROC curves of A arms and R readers.

    Attributes:
        auc: float64 (A, R), in [0, 1].
        covariance: float64 (A * R, A * R), of ``auc.ravel()`` over samples of films.
    """

    auc: Floats
    covariance: Floats


def areas(
    truth: npt.NDArray[np.bool_], scores: npt.ArrayLike, method: Covariances = "jackknife"
) -> Areas:
    """Compute the readers' AUCs and their covariances; ties count half.

    Both methods need the same sums over pairs of films (DeLong, DeLong & Clarke-Pearson, Biometrics
    1988); the area without one film follows from them, so that the jackknife (Obuchowski &
    Rockette, Commun. Stat. 1995) costs no more than DeLong's.

    Args:
        truth: bool (N,), True for films with the finding.
        scores: float (A, R, N), finite; higher means that the finding is more likely.
        method: of the covariances.

    Raises:
        DatasetError: fewer than `FEWEST` films of either kind, or a missing score.
    """
    given = np.asarray(scores, np.float64)
    arms, readers, films = given.shape
    with_it, without = int(truth.sum()), int((~truth).sum())
    if min(with_it, without) < FEWEST:
        raise DatasetError(
            f"{with_it} films have the finding and {without} have not; an AUC with an interval "
            f"needs {FEWEST} of each at least"
        )
    if not np.isfinite(given).all():
        raise DatasetError(
            f"{int((~np.isfinite(given)).sum()):,} scores are missing; every reader has to judge "
            "every film in every arm"
        )
    flat = given.reshape(arms * readers, films)
    positive, negative = _components(flat[:, truth], flat[:, ~truth])
    auc = positive.mean(axis=1)
    if method == "DeLong":
        covariance = _cov(positive) / with_it + _cov(negative) / without
    else:
        left_out = np.concatenate(
            [
                (with_it * auc[:, None] - positive) / (with_it - 1),
                (without * auc[:, None] - negative) / (without - 1),
            ],
            axis=1,
        )
        covariance = _cov(left_out) * (films - 1) ** 2 / films
    return Areas(auc.reshape(arms, readers), covariance)


def _components(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Compute the share of pairs that each film wins.

    Args:
        positive: scores of films with the finding, (n, P).
        negative: scores of films without, (n, Q).

    Returns:
        Shares of films with the finding, (n, P), and of films without, (n, Q).
    """
    films_with, films_without = [], []
    for high, low in zip(positive, negative, strict=True):
        ordered_high, ordered_low = np.sort(high), np.sort(low)
        below = np.searchsorted(ordered_low, high, "left")
        up_to = np.searchsorted(ordered_low, high, "right")
        films_with.append((below + up_to) / 2 / len(low))
        above = len(high) - np.searchsorted(ordered_high, low, "right")
        from_on = len(high) - np.searchsorted(ordered_high, low, "left")
        films_without.append((above + from_on) / 2 / len(high))
    return np.array(films_with), np.array(films_without)


def _cov(values: Floats) -> Floats:
    return np.atleast_2d(np.cov(values, ddof=1))
