"""Areas under ROC curves, finding by finding and on average, with intervals over patients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import targets
from xemplar.errors import DatasetError

from .bootstrap import estimate_statistic
from .data import EvaluationData
from .section import Estimate

GUESSING = 0.5
"""AUC of random scores."""

Rows: TypeAlias = npt.NDArray[np.bool_]
Scores: TypeAlias = npt.NDArray[np.floating]
Statistic: TypeAlias = Callable[[npt.NDArray[np.float64]], float]
"""Weights of the images, float64 (n,) -> a figure; NaN where that is undefined."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth: the labels of N images for each of F findings.

    Attributes:
        findings: their names, F.
        present: bool (N, F).
        known: bool (N, F); where it is False nobody looked.
    """

    findings: Sequence[str]
    present: Rows
    known: Rows

    @classmethod
    def of(cls, labels: Sequence[Mapping[str, int]], findings: Sequence[str]) -> Self:
        """The truth of images with these labels; an uncertain finding counts as present."""
        both = np.array([targets(one, findings) for one in labels], np.float32)
        target, known = both.reshape(-1, 2, len(findings)).transpose(1, 0, 2) > 0
        return cls(tuple(findings), target, known)

    @property
    def judged(self) -> tuple[int, ...]:
        """Columns of the findings that some images have and some have not."""
        with_it = (self.known & self.present).any(axis=0)
        without = (self.known & ~self.present).any(axis=0)
        return tuple(map(int, np.flatnonzero(with_it & without)))


def auc_of(truth: Rows, scores: Scores) -> Statistic:
    """The chance that an image with the finding scores higher than one without; ties count half.

    That is the area under the ROC curve (Hanley & McNeil, Radiology 1982). NaN where only images
    of one kind count.

    Args:
        truth: bool (n,).
        scores: float (n,), finite; only their order counts.
    """
    # sorted once: a resample then costs two sums
    _, rank = np.unique(scores, return_inverse=True)

    def area(times: npt.NDArray[np.float64]) -> float:
        with_it, without = (np.bincount(rank, times * kind) for kind in (truth, ~truth))
        pairs = with_it.sum() * without.sum()
        if pairs == 0:
            return float("nan")
        return float(with_it @ (np.cumsum(without) - without / 2) / pairs)

    return area


def mean_auc_of(truth: Truth, scores: Scores, columns: Sequence[int]) -> Statistic:
    """The mean AUC of some findings, each of the images of which it is known.

    A resample that leaves a rare finding no image with it is the mean of the others.

    Args:
        truth: of N images.
        scores: float (N, F), finite where they are looked at.
        columns: of the findings; at least one.
    """
    looked = [np.flatnonzero(truth.known[:, column]) for column in columns]
    areas = [
        auc_of(truth.present[rows, column], scores[rows, column])
        for rows, column in zip(looked, columns, strict=True)
    ]

    def mean(times: npt.NDArray[np.float64]) -> float:
        values = [area(times[rows]) for area, rows in zip(areas, looked, strict=True)]
        defined = [value for value in values if np.isfinite(value)]
        return float(np.mean(defined)) if defined else float("nan")

    return mean


@dataclass(frozen=True, eq=False)
class Judge:
    """Gives AUCs of scores, with intervals over the images' patients.

    Attributes:
        truth: of N images.
        patients: whose images they are, N; None where unknown.
        resamples: of the bootstrap.
        seed: likewise.
    """

    truth: Truth
    patients: Sequence[str | None]
    resamples: int
    seed: int

    @classmethod
    def of(cls, data: EvaluationData) -> Self:
        """The judge of the evaluated images.

        Raises:
            DatasetError: none of them can be judged.
        """
        truth = Truth.of([image.labels for image in data.queries.records], data.findings)
        if not truth.judged:
            raise DatasetError(
                "no finding of the checkpoint is both present and absent among the evaluated "
                "images, so no AUC can be computed; evaluate more images, or another split"
            )
        settings = data.settings
        return cls(truth, data.queries.patients, settings.resamples, settings.seed)

    def among(self, rows: Rows) -> Self:
        """The judge of some of the images, bool (N,), by scores of these alone."""
        truth = replace(self.truth, present=self.truth.present[rows], known=self.truth.known[rows])
        whose = [patient for patient, chosen in zip(self.patients, rows, strict=True) if chosen]
        return replace(self, truth=truth, patients=whose)

    def finding(self, scores: Scores, column: int) -> Estimate:
        """The AUC of one finding by its column of scores, float (N, F)."""
        known = self.truth.known[:, column]
        area = auc_of(self.truth.present[known, column], scores[known, column])
        whose = [patient for patient, k in zip(self.patients, known, strict=True) if k]
        return estimate_statistic(area, whose, self.resamples, self.seed)

    def mean(self, scores: Scores, columns: Sequence[int]) -> Estimate:
        """The mean AUC of some findings by scores, float (N, F)."""
        return self._estimate(mean_auc_of(self.truth, scores, columns))

    def difference(self, scores: Scores, others: Scores, columns: Sequence[int]) -> Estimate:
        """Estimates the difference of two mean AUCs on the same images."""
        one, other = (mean_auc_of(self.truth, s, columns) for s in (scores, others))
        return self._estimate(lambda times: one(times) - other(times))

    def _estimate(self, statistic: Statistic) -> Estimate:
        return estimate_statistic(statistic, self.patients, self.resamples, self.seed)
