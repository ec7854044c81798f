"""Scores of probabilities against labels, with intervals over patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from ..auc import Truth
from ..bootstrap import estimate, estimate_statistic
from ..data import EvaluationData
from ..section import Estimate

BINS = 10
"""Bins of equally many labels, for reliability and the expected calibration error."""

THOUSANDTHS = 1000
"""Scores are told in thousandths: their differences begin there."""

LUCKS = 100
"""Draws of labels from the probabilities: what a perfect calibration's error is by luck."""

CALIBRATED, RAW, CONSTANT = "calibrated", "raw sigmoid", "base rate alone"

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """Images with their labels and what is said of them.

    Attributes:
        truth: labels of N images for F findings.
        patients: whose images they are, N; None where unknown.
        said: ways of saying probabilities, the calibrated one first: float64 (N, F), in [0, 1].
        calls: bool (N, F), findings called present.
        first: int (N,), column of the finding that is explained by default.
        resamples: of the bootstrap.
        seed: likewise.
    """

    truth: Truth
    patients: Sequence[str | None]
    said: Mapping[str, Probabilities]
    calls: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int64]
    resamples: int
    seed: int

    @classmethod
    def of(cls, data: EvaluationData) -> Self:
        """The evaluated images; a constant is there only where the checkpoint has base rates."""
        checkpoint, logits = data.encoder.checkpoint, data.queries.logits
        probability = checkpoint.probabilities(logits)
        said = {CALIBRATED: probability.astype(np.float64), RAW: expit(logits.astype(np.float64))}
        rates = [one.base_rate for one in checkpoint.card.calibration]
        if any(rate is not None for rate in rates):
            constant = np.array([np.nan if rate is None else rate for rate in rates])
            said[CONSTANT] = np.tile(constant, (len(logits), 1))
        truth = Truth.of([image.labels for image in data.queries.records], data.findings)
        return cls(
            truth,
            data.queries.patients,
            said,
            probability >= checkpoint.thresholds,
            np.array([checkpoint.order(one)[0] for one in probability], np.int64),
            data.settings.resamples,
            data.settings.seed,
        )

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Labels that are known, bool (N, F)."""
        return self.truth.known

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Findings that are known to be present, bool (N, F)."""
        return self.truth.present & self.truth.known

    @property
    def ill(self) -> npt.NDArray[np.bool_]:
        """Images with a finding, bool (N,)."""
        return np.asarray(self.present.any(axis=1))

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Images of which a finding is known, bool (N,)."""
        return np.asarray(self.known.any(axis=1))

    @property
    def healthy(self) -> npt.NDArray[np.bool_]:
        """Images with known labels, and without any finding, bool (N,)."""
        return self.labelled & ~self.ill

    def among(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Selects images, bool (N,)."""
        truth = replace(self.truth, present=self.truth.present[rows], known=self.truth.known[rows])
        return replace(
            self,
            truth=truth,
            patients=[one for one, chosen in zip(self.patients, rows, strict=True) if chosen],
            said={name: values[rows] for name, values in self.said.items()},
            calls=self.calls[rows],
            first=self.first[rows],
        )

    def mean(self, values: Probabilities, where: npt.NDArray[np.bool_]) -> Estimate | None:
        """Averages values of labels, (N, F), or of images, (N,), where a mask of that shape says.

        None where it nowhere does.
        """
        rows = np.nonzero(where)[0]
        whose = [self.patients[row] for row in map(int, rows)]
        return estimate(values[where], whose, self.resamples, self.seed)

    def brier(self, said: Probabilities) -> Probabilities:
        """Squared error of each label, (N, F), in thousandths (Brier 1950)."""
        return THOUSANDTHS * (said - self.present) ** 2

    def log_loss(self, said: Probabilities) -> Probabilities:
        """Negative log likelihood of each label, (N, F), in thousandths of a nat."""
        likelihood = np.where(self.present, said, 1 - said)
        return -THOUSANDTHS * np.log(np.maximum(likelihood, np.finfo(np.float32).tiny))

    def bins(self, said: Probabilities) -> npt.NDArray[np.int64]:
        """Bin of each known label, int (labels,), by equally many of each; ties stay together."""
        values = said[self.known]
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.searchsorted(edges, values, side="right")

    def calibration_error(self, said: Probabilities) -> tuple[Estimate, float]:
        """Estimates the expected calibration error (Naeini et al., AAAI 2015), and luck's part.

        Returns:
            (mean gap between said and so over `BINS`, the same of labels that are drawn from the
            probabilities, on average): with finite images not even a perfect calibration has 0.
        """
        bins, rows = self.bins(said), np.nonzero(self.known)[0]
        values = said[self.known]

        def error(so: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]) -> float:
            gaps = np.bincount(bins, times * (values - so))
            return float(np.abs(gaps).sum() / times.sum())

        so = self.present[self.known]
        found = estimate_statistic(
            lambda times: error(so, times[rows]), self.patients, self.resamples, self.seed
        )
        random, once = np.random.default_rng(self.seed), np.ones(len(values))
        luck = [error(random.random(len(values)) < values, once) for _ in range(LUCKS)]
        return found, float(np.mean(luck))
