"""Power of a planned study, by simulation: the share of studies that find the difference."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from xemplar.errors import ConfigurationError

from .areas import FEWEST, Covariances, areas
from .roe_metz import Variances, separation, simulate
from .significance import compare

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Design:
    """Size of a study, and what it is expected to find.

    Attributes:
        readers: number of readers.
        with_it: number of films with the finding.
        without: number of films without it.
        auc: mean AUC of the first arm, in (0, 1).
        auc_second: of the second; equal to the first for a null study.
        variances: of the scores.

    Raises:
        ConfigurationError: too few readers or films, or an AUC out of range.
    """

    readers: int
    with_it: int
    without: int
    auc: float
    auc_second: float
    variances: Variances

    def __post_init__(self) -> None:
        if self.readers < 2 or min(self.with_it, self.without) < FEWEST:
            raise ConfigurationError(
                f"{self.readers} readers, {self.with_it} films with the finding and {self.without} "
                f"without: a study needs 2 readers and {FEWEST} films of each kind at least"
            )
        for auc in (self.auc, self.auc_second):
            if not 0 < auc < 1:
                raise ConfigurationError(f"an AUC of {auc:g} is not between 0 and 1")


@dataclass(frozen=True)
class SimulatedShare:
    """Share of simulated studies, with its 95 % interval (Clopper & Pearson, Biometrika 1934).

    Attributes:
        value: the share.
        low: lower end.
        high: upper end.
        count: number of studies.
    """

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, hits: int, count: int) -> "SimulatedShare":
        """Make the share ``hits / count``."""
        low = beta.ppf(0.025, hits, count - hits + 1) if hits else 0.0
        high = beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
        return cls(hits / count, float(low), float(high), count)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class SimulatedStudies:
    """Results of simulated studies.

    Attributes:
        significant: share that finds a difference (p below 0.05): the power, and of null studies
            the type I error.
        covered: share whose 95 % interval holds the true difference.
        half_width: mean half width of that interval, in AUC.
    """

    significant: SimulatedShare
    covered: SimulatedShare
    half_width: float


def simulate_studies(
    design: Design, count: int, seed: int = 0, method: Covariances = "jackknife"
) -> SimulatedStudies:
    """Simulate studies and analyse each as a real one.

    Args:
        design: of the studies.
        count: number of studies; 1,000 give a power of 0.8 to within 0.025.
        seed: of the draws.
        method: of the covariances.
    """
    truth = np.arange(design.with_it + design.without) < design.with_it
    means = [separation(auc, design.variances) for auc in (design.auc, design.auc_second)]
    effect = design.auc_second - design.auc
    draw = np.random.default_rng(seed)
    found = [
        compare(
            areas(truth, simulate(truth, design.readers, means, design.variances, draw), method),
            0,
            1,
        )
        for _ in range(count)
    ]
    return SimulatedStudies(
        significant=SimulatedShare.of(sum(one.p < SIGNIFICANT for one in found), count),
        covered=SimulatedShare.of(sum(one.low <= effect <= one.high for one in found), count),
        half_width=float(np.mean([(one.high - one.low) / 2 for one in found])),
    )
