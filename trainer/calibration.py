"""Calibrated probabilities and a threshold for each finding, from validation outputs."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from xemplar.model.checkpoint import Calibration

from .metrics import Outputs

FEWEST = 5
"""Fewest images with, and without, a finding that a calibration is fitted on."""


def calibrate(outputs: Outputs) -> tuple[Calibration, ...]:
    """Fits Platt scaling (Platt 1999) and Youden's threshold (Youden 1950) for each finding.

    The threshold is chosen within each data set, and the lowest is kept: where one set has many
    more positive images than another, a threshold for both would call all images of the other
    negative.

    The targets are softened as Platt proposes, so that few images cannot make a certainty: through
    weights, each image counting for both classes. A finding with fewer than `FEWEST` images of
    either kind keeps the raw sigmoid and the threshold 0.5; so does one whose fitted slope is not
    positive, where the network knows nothing.
    """
    return tuple(_fit(outputs, column) for column in range(len(outputs.findings)))


def _fit(outputs: Outputs, column: int) -> Calibration:
    truth, logits = outputs.of(column)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < FEWEST:
        return Calibration()
    soft = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    both = np.concatenate([logits, logits])[:, None].astype(np.float64)
    classes = np.repeat([1, 0], len(logits))
    fitted = LogisticRegression(C=np.inf).fit(both, classes, np.concatenate([soft, 1 - soft]))
    scale, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if scale <= 0:
        return Calibration()
    thresholds = [
        _youden(outputs.target[chosen, column] > 0, scale * outputs.logits[chosen, column] + offset)
        for chosen in _strata(outputs, column)
    ]
    return Calibration(scale, offset, min(thresholds, default=0.5))


def _strata(outputs: Outputs, column: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Yields the images of each data set in which a finding is known, if there are enough."""
    sources = np.asarray(outputs.sources)
    for source in sorted(set(outputs.sources)):
        chosen = (outputs.known[:, column] > 0) & (sources == source)
        positives = int(outputs.target[chosen, column].sum())
        if min(positives, int(chosen.sum()) - positives) >= FEWEST:
            yield chosen


def _youden(truth: npt.NDArray[np.bool_], odds: npt.NDArray[np.float32]) -> float:
    """Finds the probability with the largest sum of sensitivity and specificity."""
    false_positive, true_positive, thresholds = roc_curve(truth, 1 / (1 + np.exp(-odds)))
    return float(min(thresholds[int(np.argmax(true_positive - false_positive))], 1.0))
