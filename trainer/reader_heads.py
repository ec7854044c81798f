"""Reader heads: other readers' classes as further outputs during a training, dropped at its end.

A class that a radiologist read teaches the features what a mined label cannot (auxiliary tasks:
Caruana, Machine Learning 1997). Its outputs follow those of the findings, so they are cut off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from xemplar.data.datasets import TRAIN, DatasetImage
from xemplar.data.findings import Labels
from xemplar.data.readings import READINGS
from xemplar.errors import DatasetError
from xemplar.model.densenet import Weights

from .settings import TrainingSettings

Splits = Mapping[str, Sequence[DatasetImage]]


def with_reader_heads(
    splits: Splits, settings: TrainingSettings
) -> tuple[dict[str, list[DatasetImage]], TrainingSettings]:
    """Adds the classes that occur among the training images to labels and findings.

    Args:
        splits: split -> images.
        settings: of the training.

    Returns:
        (The same images, labelled with the class that each reader gave; settings whose findings
        end in the classes, as "column: class".)

    Raises:
        DatasetError: no training image has such a class.
    """
    read = {reading for image in splits[TRAIN] for reading in image.readings.items()}
    heads = sorted(_head(*reading) for reading in read)
    if not heads:
        raise DatasetError(
            "--reader-heads is given, and no training image has another reader's class; the label "
            f"file would have it in a column {' or '.join(READINGS)}"
        )
    labelled = {
        split: [replace(i, labels={**i.labels, **_labels(i, heads)}) for i in images]
        for split, images in splits.items()
    }
    return labelled, replace(settings, findings=(*settings.findings, *heads))


def without_reader_heads(weights: Weights, findings: int) -> dict[str, np.ndarray]:
    """Cuts a network's linear layer down to its first outputs, those of the findings."""
    cut = ("classifier.weight", "classifier.bias")
    return {n: np.ascontiguousarray(w[:findings]) if n in cut else w for n, w in weights.items()}


def _labels(image: DatasetImage, heads: Sequence[str]) -> Labels:
    """Labels of the heads whose reader read an image; those of others are unknown."""
    return {
        head: int(head == _head(column, given))
        for column, given in image.readings.items()
        for head in heads
        if head.startswith(f"{column}: ")
    }


def _head(column: str, name: str) -> str:
    return f"{column}: {name}"
