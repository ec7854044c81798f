"""Difference of arms in a multi-reader multi-case study, for new readers and new films.

Obuchowski & Rockette (Commun. Stat. 1995) with the degrees of freedom of Hillis (Stat. Med. 2007);
formulas as in Chakraborty, Observer Performance Methods for Diagnostic Imaging, 2017, chapter 10.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.stats import f, norm, t

from xemplar.errors import DatasetError

from .areas import Areas

Generalises: TypeAlias = Literal["readers and films", "films", "readers"]
"""Factors that are a random sample: the others are taken as they are."""

LEVEL = 0.95


@dataclass(frozen=True)
class Components:
    """Mean squares and mean covariances of A arms and R readers.

    Attributes:
        arms: mean square of arms.
        readers: mean square of readers.
        interaction: mean square of arms with readers.
        variance: mean variance of one AUC over films.
        same_reader: mean covariance over films of one reader's AUCs in two arms (Cov1).
        same_arm: of two readers' in one arm (Cov2).
        neither: of two readers' in two arms (Cov3).
    """

    arms: float
    readers: float
    interaction: float
    variance: float
    same_reader: float
    same_arm: float
    neither: float


@dataclass(frozen=True)
class Comparison:
    """Difference of two arms' mean AUCs.

    Attributes:
        effect: mean AUC of the second arm minus that of the first.
        low: lower end of the 95 % interval.
        high: upper end.
        p: of no difference, two-sided.
        df: degrees of freedom; infinite where readers are taken as they are.
        standard_error: of the effect.
    """

    effect: float
    low: float
    high: float
    p: float
    df: float
    standard_error: float


@dataclass(frozen=True)
class FTest:
    """Test of no difference between all arms.

    Attributes:
        statistic: F.
        p: of no difference.
        df: (numerator, denominator) degrees of freedom.
    """

    statistic: float
    p: float
    df: tuple[float, float]


def components(measured: Areas) -> Components:
    """Compute mean squares and mean covariances.

    Raises:
        DatasetError: fewer than two arms or two readers.
    """
    auc = measured.auc
    arms, readers = auc.shape
    if arms < 2 or readers < 2:
        raise DatasetError(
            f"{arms} arm(s) and {readers} reader(s): a comparison needs two of each at least"
        )
    by_arm, by_reader, mean = auc.mean(axis=1), auc.mean(axis=0), auc.mean()
    rest = auc - by_arm[:, None] - by_reader[None, :] + mean
    arm, reader = (one.ravel() for one in np.indices(auc.shape))
    arm_equal, reader_equal = arm[:, None] == arm, reader[:, None] == reader

    def mean_of(one_arm: bool, one_reader: bool) -> float:
        chosen = (arm_equal == one_arm) & (reader_equal == one_reader)
        return float(measured.covariance[chosen].mean())

    return Components(
        arms=float(readers * ((by_arm - mean) ** 2).sum() / (arms - 1)),
        readers=float(arms * ((by_reader - mean) ** 2).sum() / (readers - 1)),
        interaction=float((rest**2).sum() / ((arms - 1) * (readers - 1))),
        variance=mean_of(True, True),
        same_reader=mean_of(False, True),
        same_arm=mean_of(True, False),
        neither=mean_of(False, False),
    )


def f_test(measured: Areas, generalises: Generalises = "readers and films") -> FTest:
    """Test that all arms have the same mean AUC."""
    denominator, df = _denominator(measured, generalises)
    statistic = components(measured).arms / denominator
    others = len(measured.auc) - 1
    return FTest(statistic, float(f.sf(statistic, others, df)), (others, df))


def compare(
    measured: Areas,
    first: int,
    second: int,
    generalises: Generalises = "readers and films",
) -> Comparison:
    """Compare two arms by their mean AUC over readers.

    Args:
        measured: of all arms, whose covariances are averaged.
        first: index of the arm that is compared with.
        second: index of the other.
        generalises: what is a random sample.
    """
    denominator, df = _denominator(measured, generalises)
    error = float(np.sqrt(2 / measured.auc.shape[1] * denominator))
    by_arm = measured.auc.mean(axis=1)
    effect = float(by_arm[second] - by_arm[first])
    tail = (1 + LEVEL) / 2
    if np.isinf(df):
        wide, p = norm.ppf(tail), 2 * norm.sf(abs(effect) / error)
    else:
        wide, p = t.ppf(tail, df), 2 * t.sf(abs(effect) / error, df)
    return Comparison(
        effect, effect - float(wide) * error, effect + float(wide) * error, float(p), df, error
    )


def arm_interval(measured: Areas, arm: int) -> tuple[float, float, float]:
    """Mean AUC of one arm with its 95 % interval for new readers and films.

    From this arm's readers and covariances alone (Hillis, Stat. Med. 2007, section 4).

    Returns:
        Mean, low, high; ends are cut to [0, 1].
    """
    auc = measured.auc[arm]
    readers = len(auc)
    rows = slice(arm * readers, (arm + 1) * readers)
    part = measured.covariance[rows, rows]
    between = float(part[~np.eye(readers, dtype=bool)].mean())
    mean_square = float(auc.var(ddof=1))
    total = mean_square + max(readers * between, 0.0)
    mean = float(auc.mean())
    if total == 0:
        return mean, mean, mean
    df = np.inf if mean_square == 0 else total**2 / (mean_square**2 / (readers - 1))
    wide = float(t.ppf((1 + LEVEL) / 2, df)) * np.sqrt(total / readers)
    return mean, max(mean - wide, 0.0), min(mean + wide, 1.0)


def _denominator(measured: Areas, generalises: Generalises) -> tuple[float, float]:
    """Mean square that that of the arms is compared with, and its degrees of freedom.

    Raises:
        DatasetError: it is 0, as where all readers said the same in all arms.
    """
    parts = components(measured)
    arms, readers = measured.auc.shape
    if generalises == "films":
        extra = max((readers - 1) * (parts.same_arm - parts.neither), 0.0)
        found, df = parts.variance - parts.same_reader + extra, float("inf")
    elif generalises == "readers":
        found, df = parts.interaction, float((arms - 1) * (readers - 1))
    else:
        found = parts.interaction + max(readers * (parts.same_arm - parts.neither), 0.0)
        squares = parts.interaction**2 / ((arms - 1) * (readers - 1))
        df = found**2 / squares if squares else float("inf")
    if found <= 0:
        raise DatasetError(
            "the readers' AUCs do not vary, neither over readers nor over films, so that no "
            "difference can be tested; more films or finer confidence is needed"
        )
    return found, df
