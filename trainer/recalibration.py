"""Probabilities of a finished checkpoint, fitted anew on validation images; its weights stay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

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
class ImageOutputs:
    """Outputs of a network for N images.

    Attributes:
        logits: float32 (N, F).
        pooled: float32 (N, C), the rectified maps' means over locations.
        mean_activation: float32 (C, g, g), the rectified maps' mean over the images.
    """

    logits: npt.NDArray[np.float32]
    pooled: npt.NDArray[np.float32]
    mean_activation: npt.NDArray[np.float32]


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


def uncertain_policy(card: Card) -> UncertainPolicy:
    """Returns the policy for uncertain labels of a checkpoint's training."""
    return UncertainPolicy(card.training.get("uncertain", UncertainPolicy.POSITIVE))


def labelled_images(card: Card, datasets: Sequence[Dataset]) -> dict[str, list[DatasetImage]]:
    """Splits frontal images with a known finding by a checkpoint's rule: split -> images.

    Raises:
        DatasetError: no validation image is among them.
    """
    policy = uncertain_policy(card)
    splits: dict[str, list[DatasetImage]] = {TRAIN: [], VAL: []}
    for image in (image for dataset in datasets for image in dataset.images if image.is_frontal):
        if targets(image.labels, card.findings, policy)[1].any():
            splits.setdefault(card.split.of(image), []).append(image)
    if not splits[VAL]:
        raise DatasetError(
            f"the data set(s) {', '.join(d.name for d in datasets)} have no frontal image in the "
            f"split {VAL!r} with a known label of {', '.join(card.findings)}"
        )
    return splits


def outputs_on(
    checkpoint: Checkpoint,
    images: Sequence[DatasetImage],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImageOutputs:
    """Runs a checkpoint on images, in float32.

    Args:
        checkpoint: its network.
        images: at least one.
        on_progress: called with the numbers of images done, and of all.

    Raises:
        DatasetError: an image cannot be read.
    """
    encoder, spec = open_encoder(checkpoint, precision=Precision.FLOAT32), checkpoint.card.spec
    logits, pooled = [], []
    total = np.zeros_like(checkpoint.weights[MEAN], np.float64)
    for begin in range(0, len(images), BATCH):
        inputs = [preprocess(read(image), spec) for image in images[begin : begin + BATCH]]
        features = encoder.encode(np.stack(inputs))
        logits.append(features.logits)
        pooled.append(features.maps.mean(axis=(2, 3)))
        total += features.maps.sum(axis=0, dtype=np.float64)
        on_progress(begin + len(inputs), len(images))
    mean = (total / len(images)).astype(np.float32)
    return ImageOutputs(np.concatenate(logits), np.concatenate(pooled), mean)


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
    card, policy = checkpoint.card, uncertain_policy(checkpoint.card)
    splits = labelled_images(card, datasets)
    counts = count_labels(splits[VAL], splits[TRAIN], card.findings, policy)
    images = [image for image in splits[VAL] if image.source == counts.source]
    found = outputs_on(checkpoint, images, on_progress)
    labels = np.array([targets(image.labels, card.findings, policy) for image in images])
    outputs = Outputs(
        logits=found.logits,
        target=labels[:, 0],
        known=labels[:, 1],
        sources=[image.source for image in images],
        findings=card.findings,
        mean_activation=found.mean_activation,
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
