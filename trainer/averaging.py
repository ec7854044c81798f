"""Mean of a fine-tuned checkpoint and the one that it began from.

WiSE-FT (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022): the mean of the
weights often keeps what the earlier network knew, beside what the later one learnt. Mean
activation, projection and calibration belong to a network, so they are fitted anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from xemplar import __version__
from xemplar.data.datasets import TRAIN, VAL, Dataset
from xemplar.data.findings import targets
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import EMBEDDING, MEAN, PROJECTION, Weights

from .calibration import calibrate
from .initialisation import prevalence
from .metrics import Outputs, metrics_of
from .projection import fit_projection, fully_labelled
from .recalibration import labelled_images, outputs_on, uncertain_policy, validation_images
from .settings import TrainingSettings


def average(
    later: Checkpoint,
    initial: Checkpoint,
    datasets: Sequence[Dataset],
    share: float = 0.5,
    on_progress: Callable[[str, int, int], None] = lambda _part, _done, _total: None,
) -> tuple[Card, Weights]:
    """Average the weights of two checkpoints, and fit what depends on them.

    Args:
        later: whose training began from ``initial``.
        initial: the other one.
        datasets: validation images of the one with most known labels give mean activation and
            calibration; its training images with all findings known give the projection.
        share: of ``later`` in each weight, in (0, 1).
        on_progress: called with "validation" or "projection", and images done and in all.

    Returns:
        Card, with ``training["averaged"]``; and weights.

    Raises:
        ConfigurationError: ``later`` did not begin from ``initial``, or ``share`` is out of range.
        DatasetError: no image has a known finding, or one cannot be read.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"the share is {share:g}; it must be greater than 0, less than 1")
    _check_origin(later, initial)
    card = later.card
    bare = replace(card, architecture=replace(card.architecture, projection=0))
    weights = {
        name: (share * value + (1 - share) * initial.weights[name]).astype(np.float32)
        for name, value in later.weights.items()
        if name not in EMBEDDING
    }
    mean = later.weights[MEAN]  # has no part in logits and maps; replaced below
    network = Checkpoint(bare, {**weights, MEAN: mean}, digest="")
    validation = validation_images(network, datasets, lambda *n: on_progress("validation", *n))
    outputs = validation.outputs
    weights[MEAN] = outputs.mean_activation
    calibration, population = calibrate(outputs, validation.counts)
    found = replace(
        bare,
        calibration=calibration,
        population=population,
        training={**card.training, "averaged": {"share": share, "initial": initial.digest}},
        metrics=metrics_of(outputs),
        code_version=__version__,
    )
    if card.architecture.projection:
        weights[PROJECTION] = _projection(
            network, outputs, datasets, card, lambda *n: on_progress("projection", *n)
        )
        found = replace(found, architecture=card.architecture)
    return found, weights


def _check_origin(later: Checkpoint, initial: Checkpoint) -> None:
    """Refuse checkpoints whose mean is no network: weights of separate trainings do not match."""
    origin = str(later.card.training.get("initial"))
    if origin != f"sha256:{initial.digest}":
        raise ConfigurationError(
            f"the training of {later.path} began from {origin[:19]}, not from {initial.path} "
            f"(sha256:{initial.digest[:12]}); average a checkpoint with the one that was its "
            "--initial"
        )
    if later.card.findings != initial.card.findings or later.card.spec != initial.card.spec:
        raise ConfigurationError(
            f"{later.path} and {initial.path} have other findings or another preprocessing; their "
            "outputs do not match"
        )


def _projection(
    network: Checkpoint,
    outputs: Outputs,
    datasets: Sequence[Dataset],
    card: Card,
    on_progress: Callable[[int, int], None],
) -> npt.NDArray[np.float32]:
    """Fit the projection, float32 (D, C), on pooled maps of fully labelled training images."""
    policy = uncertain_policy(card)
    settings = TrainingSettings(
        findings=card.findings, uncertain=policy, projection=card.architecture.projection
    )
    splits = labelled_images(card, datasets)
    records = fully_labelled(splits[TRAIN], splits[VAL], settings, card.architecture)
    pooled = outputs_on(network, records, on_progress).pooled
    centred = pooled - outputs.mean_activation.mean(axis=(1, 2))
    target = np.stack([targets(record.labels, card.findings, policy)[0] for record in records])
    weighted = target / np.sqrt(prevalence(records, card.findings, policy)[0])
    fitted = fit_projection(torch.from_numpy(centred), torch.from_numpy(weighted), settings)
    projection: npt.NDArray[np.float32] = fitted.numpy()
    return projection
