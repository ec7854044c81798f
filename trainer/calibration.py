"""Calibration of probabilities within one population: slope, base rates and one threshold.

See docs/decisions/0032 for what else was tried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import UncertainPolicy, targets
from xemplar.model.calibration import Calibration, Population

from .metrics import Outputs, best_labelled

FEWEST = 5
"""Fewest validation images with, and without, a finding that is ever called."""

SLOPES = (0.05, 20.0)
"""Slopes among which the calibration's is sought."""

THRESHOLDS = np.arange(5, 100, 5) / 100
"""Probabilities among which the threshold is chosen; finer steps would fit the noise."""

BETA = 0.5
"""Of the F measure that chooses it: recall counts half as much as precision."""

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Counts of the findings in the labelled images of one data set.

    Attributes:
        source: name of the data set.
        images: their number.
        ill: share of them with a finding.
        positives: int64 (F,), images with each finding.
        known: int64 (F,), images of which it is known.
    """

    source: str
    images: int
    ill: float
    positives: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]

    @property
    def base_rates(self) -> Logits:
        """Share with each finding, float64 (F,); NaN where none, or all of the known have it."""
        some = (self.positives > 0) & (self.positives < self.known)
        return np.where(some, self.positives / np.maximum(self.known, 1), np.nan)


def count_labels(
    validation: Sequence[DatasetImage],
    training: Iterable[DatasetImage],
    findings: Sequence[str],
    policy: UncertainPolicy = UncertainPolicy.POSITIVE,
) -> LabelCounts:
    """Counts findings in one population: the validation data set with the most known labels.

    Its training images count, too: patients were split at random, so that both show a finding
    equally often, and a rare finding's base rate needs many images.

    Args:
        validation: images of the validation split, at least one.
        training: images of the training split.
        findings: the network's outputs.
        policy: for uncertain labels.
    """
    source = best_labelled(validation, findings, policy)
    images = [image for image in (*validation, *training) if image.source == source]
    labels = np.array([targets(image.labels, findings, policy) for image in images]) > 0
    present, known = labels[:, 0], labels[:, 1]
    return LabelCounts(
        source,
        len(images),
        float((present & known).any(axis=1).mean()),
        (present & known).sum(axis=0),
        known.sum(axis=0),
    )


def calibrate(outputs: Outputs, counts: LabelCounts) -> tuple[tuple[Calibration, ...], Population]:
    """Fits probabilities and a threshold on the validation images of one population.

    One slope for all findings is fitted by maximum likelihood, with Platt's softened targets (Platt
    1999); each finding's offset makes its mean probability its base rate. One threshold for all
    findings has the largest F measure (`BETA`) over all their calls together, at or above the
    highest base rate, so that a called finding is always more likely than usual.

    A finding with fewer than `FEWEST` validation images of either kind is never called. One without
    a base rate, or without a validation image of which it is known, keeps the raw sigmoid as well.

    Args:
        outputs: on validation images, of whatever data sets.
        counts: of the population, one of these data sets.

    Returns:
        The calibration of each finding, and the population that it holds in.
    """
    rows = np.asarray(outputs.sources) == counts.source
    logits = outputs.logits[rows].astype(np.float64)
    known = outputs.known[rows] > 0
    present = (outputs.target[rows] > 0) & known
    rates = counts.base_rates
    usable = np.flatnonzero(known.any(axis=0) & np.isfinite(rates))
    slope, offsets = _fit(logits[:, usable], present[:, usable], known[:, usable], rates[usable])
    positives, negatives = present.sum(axis=0), (known & ~present).sum(axis=0)
    enough = usable[np.minimum(positives, negatives)[usable] >= FEWEST]
    offset = dict(zip(map(int, usable), offsets, strict=True))
    scores = [expit(slope * logits[:, column] + offset[int(column)]) for column in enough]
    threshold = choose_threshold(
        np.stack(scores, axis=1) if scores else np.empty((len(logits), 0)),
        present[:, enough],
        known[:, enough],
        max(rates[enough], default=1.0),
    )
    calibrations = tuple(
        Calibration(
            scale=slope if column in offset else 1.0,
            offset=offset.get(column, 0.0),
            threshold=threshold if column in enough else None,
            base_rate=float(rates[column]) if column in offset else None,
            positives=int(counts.positives[column]),
            val_positives=int(positives[column]),
        )
        for column in range(len(outputs.findings))
    )
    return calibrations, Population(counts.source, len(logits), counts.images, counts.ill)


def choose_threshold(
    probability: Logits, present: Labels, known: Labels, least: float
) -> float | None:
    """Chooses the threshold with the largest F measure over all findings' calls together.

    Args:
        probability: float64 (N, F).
        present: bool (N, F).
        known: bool (N, F); other entries do not count.
        least: lowest threshold allowed.

    Returns:
        The lowest of the best; None if there is no finding, or none of `THRESHOLDS` is allowed.
    """
    allowed = THRESHOLDS[least <= THRESHOLDS]
    if not len(allowed) or not probability.size:
        return None
    calls = (probability[..., None] >= allowed) & known[..., None]
    true = (calls & present[..., None]).sum(axis=(0, 1))
    weight = BETA**2
    # van Rijsbergen, Information Retrieval, 1979, chapter 7
    f = (1 + weight) * true / np.maximum(calls.sum(axis=(0, 1)) + weight * present.sum(), 1)
    return float(allowed[int(f.argmax())])


def _fit(logits: Logits, present: Labels, known: Labels, rates: Logits) -> tuple[float, Logits]:
    """Fits (slope, offsets) on findings with base rates: all arrays are (N, F), rates (F,)."""
    if not logits.size:
        return 1.0, np.empty(0)
    positives, negatives = present.sum(), (known & ~present).sum()
    soft = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(log_slope: float) -> float:
        odds = np.exp(log_slope) * logits
        odds += _offsets(odds, known, rates)
        return float(((np.logaddexp(0, odds) - soft * odds) * known).sum())

    found = minimize_scalar(loss, bounds=tuple(np.log(SLOPES)), method="bounded")
    slope = float(np.exp(found.x))
    return slope, _offsets(slope * logits, known, rates)


def _offsets(odds: Logits, known: Labels, rates: Logits) -> Logits:
    """Finds the offset of each finding's log odds (N, F) that makes their mean its base rate."""

    def offset(column: int) -> float:
        own = odds[known[:, column], column]
        rate = rates[column]
        middle = float(np.log(rate / (1 - rate)))
        # at these ends every image is more, and less, likely to have it than the base rate says
        ends = middle - own.max() - 1, middle - own.min() + 1
        return float(brentq(lambda moved: expit(own + moved).mean() - rate, *ends))

    return np.array([offset(column) for column in range(len(rates))])
