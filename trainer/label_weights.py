"""Label weights by source of truth: labels that another reader contradicts count less."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from xemplar.data.datasets import DatasetImage
from xemplar.data.readings import contradicted

from .distributed import Distributed
from .sampling import EpochSampler
from .settings import TrainingSettings


def label_weights(
    records: Sequence[DatasetImage], settings: TrainingSettings
) -> npt.NDArray[np.float32] | None:
    """Weighs the labels of images, on top of whether they are known.

    Returns:
        float32 (N, F): the settings' ``contradicted_weight`` where a reading contradicts the label,
        else 1; None where that is 1 everywhere.
    """
    if settings.contradicted_weight == 1:
        return None
    weights = np.ones((len(records), len(settings.findings)), np.float32)
    for row, record in enumerate(records):
        doubted = frozenset[str]().union(*(found for _, _, found in _readings(record)))
        for column, finding in enumerate(settings.findings):
            if finding in doubted:
                weights[row, column] = settings.contradicted_weight
    return weights


def weights_as_drawn(
    records: Sequence[DatasetImage], settings: TrainingSettings
) -> npt.NDArray[np.float32]:
    """Weighs labels as they are learnt from: by how often an image is drawn, and by their weight.

    Returns:
        float32 (N, F); the mean over the images is 1 where no label is contradicted.
    """
    drawn = EpochSampler(records, settings, Distributed()).relative_frequency()
    labels = label_weights(records, settings)
    ones = np.ones((1, len(settings.findings)), np.float32)
    return drawn[:, None] * (ones if labels is None else labels)


def disagreements(
    records: Sequence[DatasetImage], findings: Sequence[str]
) -> Mapping[str, Mapping[str, int]]:
    """Counts where readings contradict labels.

    Args:
        records: of images.
        findings: of which labels are compared.

    Returns:
        "column: class" -> ``images`` of that class, ``contradicted`` images among them, and their
        contradicted ``labels``; in the order of the names.
    """
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        for column, name, found in _readings(record):
            count = counts.setdefault(
                f"{column}: {name}", {"images": 0, "contradicted": 0, "labels": 0}
            )
            labels = len(found & set(findings))
            count["images"] += 1
            count["contradicted"] += labels > 0
            count["labels"] += labels
    return dict(sorted(counts.items()))


def told(counts: Mapping[str, Mapping[str, int]], weight: float) -> Iterator[str]:
    """Words the counts of `disagreements`, a sentence for each class that contradicts a label."""
    for name, count in counts.items():
        if count["labels"]:
            yield (
                f"{count['contradicted']:,} of {count['images']:,} training images read as "
                f"{name} contradict it by {count['labels']:,} labels, which count {weight:g} each"
            )


def _readings(record: DatasetImage) -> Iterator[tuple[str, str, frozenset[str]]]:
    for column, name in record.readings.items():
        yield column, name, contradicted(record.labels, column, name)
