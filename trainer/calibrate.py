"""Validation outputs -> probabilities that mean what they say, and a threshold per finding."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from trainer.metrics import Outputs
from xemplar.checkpoint import Calibration

FEWEST = 5
"""Films with, and films without, a finding below which nothing is fitted."""


def calibrate(outputs: Outputs) -> tuple[Calibration, ...]:
    """Platt scaling (Platt 1999) and Youden's threshold (Youden 1950) for each finding.

    The targets are softened as Platt proposes, so that few films cannot make a certainty: through
    weights, each film counting for both classes. A finding with fewer than `FEWEST` films of
    either kind keeps the raw sigmoid and the threshold 0.5; so does one whose fitted slope is not
    positive, where the network knows nothing.
    """
    return tuple(_fit(outputs, place) for place in range(len(outputs.findings)))


def _fit(outputs: Outputs, place: int) -> Calibration:
    truth, logits = outputs.of(place)
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
    probability = 1 / (1 + np.exp(-(scale * logits + offset)))
    false_positive, true_positive, thresholds = roc_curve(truth, probability)
    best = int(np.argmax(true_positive - false_positive))
    return Calibration(scale, offset, float(min(thresholds[best], 1.0)))
