"""Probabilities of a finished checkpoint, fitted anew on validation images; its weights stay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xemplar import __version__
from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.data.findings import UncertainPolicy, targets
from xemplar.errors import DatasetError
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import MEAN
from xemplar.model.encoder import BATCH, Precision, open_encoder

from .calibration import LabelCounts, calibrate, count_labels
from .data import read
from .metrics import Outputs


@dataclass(frozen=True, eq=False)
class ValidationImages:
    """Validation images of one population, as a checkpoint's network sees them.

    Attributes:
        images: N of them.
        outputs: of the network.
        counts: labels of the population, training images included.
    """

    images: Sequence[DatasetImage]
    outputs: Outputs
    counts: LabelCounts


def validation_images(
    checkpoint: Checkpoint,
    datasets: Sequence[Dataset],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ValidationImages:
    """Runs a checkpoint on the frontal validation images of a population.

    Args:
        checkpoint: its network and its rule of splitting patients are used.
        datasets: the one with most known labels among validation images is the population.
        on_progress: called with the numbers of images done, and of all.

    Raises:
        DatasetError: no such image has a known finding, or one cannot be read.
    """
    card = checkpoint.card
    policy = UncertainPolicy(card.training.get("uncertain", UncertainPolicy.POSITIVE))
    splits: dict[str, list[DatasetImage]] = {TRAIN: [], VAL: []}
    for image in (image for dataset in datasets for image in dataset.images if image.is_frontal):
        if targets(image.labels, card.findings, policy)[1].any():
            splits.setdefault(card.split.of(image), []).append(image)
    if not splits[VAL]:
        raise DatasetError(
            f"the data set(s) {', '.join(d.name for d in datasets)} have no frontal image in the "
            f"split {VAL!r} with a known label of {', '.join(card.findings)}"
        )
    counts = count_labels(splits[VAL], splits[TRAIN], card.findings, policy)
    images = [image for image in splits[VAL] if image.source == counts.source]
    encoder, logits = open_encoder(checkpoint, precision=Precision.FLOAT32), []
    for begin in range(0, len(images), BATCH):
        inputs = [preprocess(read(image), card.spec) for image in images[begin : begin + BATCH]]
        logits.append(encoder.encode(np.stack(inputs)).logits)
        on_progress(begin + len(inputs), len(images))
    labels = np.array([targets(image.labels, card.findings, policy) for image in images])
    outputs = Outputs(
        logits=np.concatenate(logits),
        target=labels[:, 0],
        known=labels[:, 1],
        sources=[image.source for image in images],
        findings=card.findings,
        mean_activation=checkpoint.weights[MEAN],
    )
    return ValidationImages(images, outputs, counts)


def recalibrate(
    checkpoint: Checkpoint,
    datasets: Sequence[Dataset],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Card:
    """Returns a checkpoint's card with another calibration; see `validation_images`."""
    validation = validation_images(checkpoint, datasets, on_progress)
    calibration, population = calibrate(validation.outputs, validation.counts)
    return replace(
        checkpoint.card,
        calibration=calibration,
        population=population,
        code_version=__version__,
    )
