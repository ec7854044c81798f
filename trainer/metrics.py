"""Metrics of an epoch, from the outputs on all validation images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import UncertainPolicy, targets
from xemplar.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a network for N images, and their labels.

    Attributes:
        logits: float32 (N, F).
        target: float32 (N, F) in {0, 1}.
        known: float32 (N, F), 1 where the label is known.
        sources: name of the data set of each image, length N.
        findings: names of the F outputs.
        mean_activation: float32 (C, g, g), mean of the network's last maps, rectified, over the
            images of one source: the one with most known labels, which is what the network is
            for. Where children were added to adults, the mean of both would be the mean of
            neither, and what it leaves of an image would mostly tell its source.
    """

    logits: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]
    sources: Sequence[str]
    findings: Sequence[str]
    mean_activation: npt.NDArray[np.float32]

    def first(self, findings: int) -> "Outputs":
        """Returns the outputs of the first findings alone."""
        logits, target, known = (
            part[:, :findings] for part in (self.logits, self.target, self.known)
        )
        return replace(
            self, logits=logits, target=target, known=known, findings=self.findings[:findings]
        )

    def of(self, column: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Returns (target as bool, logits) of one finding, where it is known."""
        known = self.known[:, column] > 0
        return self.target[known, column] > 0, self.logits[known, column]


def best_labelled(
    records: Sequence[DatasetImage], findings: Sequence[str], policy: UncertainPolicy
) -> str:
    """Names the data set with most known labels; see `Outputs`."""
    known: dict[str, float] = {}
    for record in records:
        labels = targets(record.labels, findings, policy)[1]
        known[record.source] = known.get(record.source, 0) + float(labels.sum())
    return max(known, key=lambda name: known[name])


def masked_loss(outputs: Outputs) -> float:
    """Mean binary cross-entropy with logits over all known labels."""
    logits, target = outputs.logits.astype(np.float64), outputs.target
    each = np.logaddexp(0, logits) - logits * target
    return float((each * outputs.known).sum() / outputs.known.sum())


def accuracy(outputs: Outputs) -> float:
    """Share of known labels that the sign of the logit gets right (probability 0.5)."""
    right = (outputs.logits > 0) == (outputs.target > 0)
    return float((right * outputs.known).sum() / outputs.known.sum())


def auc_by_finding(outputs: Outputs) -> dict[str, float]:
    """Area under the ROC curve of each finding, stratified by data set.

    The probability that an image with the finding gets a higher logit than an image *of the same
    data set* without it. Pairs from two data sets are left out: telling children from adults is no
    skill in findings. Findings without such a pair are missing from the answer, not 0 or 0.5.
    """
    answer: dict[str, float] = {}
    sources = np.asarray(outputs.sources)
    for column, finding in enumerate(outputs.findings):
        known = outputs.known[:, column] > 0
        pairs = area = 0.0
        for source in sorted(set(outputs.sources)):
            chosen = known & (sources == source)
            truth = outputs.target[chosen, column] > 0
            weight = float(truth.sum()) * float((~truth).sum())
            if weight:
                pairs += weight
                area += weight * float(roc_auc_score(truth, outputs.logits[chosen, column]))
        if pairs:
            answer[finding] = area / pairs
    return answer


def mean_auc(by_finding: dict[str, float]) -> float:
    """Unweighted mean over the findings that have an AUC.

    Raises:
        DatasetError: none has.
    """
    if not by_finding:
        raise DatasetError(
            "the validation images hold no finding both present and absent within one data set, so "
            "no AUC can be computed; add validation images"
        )
    return float(np.mean(list(by_finding.values())))


def metrics_of(outputs: Outputs) -> dict[str, float]:
    """Computes the metrics that a checkpoint's card holds, by name.

    Raises:
        DatasetError: no finding has an AUC.
    """
    by_finding = auc_by_finding(outputs)
    return {
        "val_loss": masked_loss(outputs),
        "val_accuracy": accuracy(outputs),
        "val_auc": mean_auc(by_finding),
        **{f"val_auc/{finding}": auc for finding, auc in by_finding.items()},
    }


def roc(outputs: Outputs, column: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns (false positive rate, true positive rate) of a finding over its known images."""
    truth, logits = outputs.of(column)
    false_positive, true_positive, _ = roc_curve(truth, logits)
    return np.asarray(false_positive), np.asarray(true_positive)
