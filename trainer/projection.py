"""Projection of embeddings: a linear layer that makes images with similar findings neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.optim import Adam

from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import targets
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import load, save
from xemplar.model.densenet import MEAN, PROJECTION, Architecture
from xemplar.model.pytorch import DenseNetwork, load_weights

from .data import TrainingImages
from .epoch import Device
from .initialisation import prevalence
from .losses import pkt_loss
from .metrics import best_labelled
from .resident import ResidentImages, batches_of
from .settings import TrainingSettings

STEPS, LEARNING_RATE, DROPOUT = 300, 1e-3, 0.3
"""Steps of Adam, their rate, and the share of channels that each of them drops."""

BATCH = 2048
"""Most images that a step compares with each other."""

FEWEST = 16
"""Fewest images that a projection is fitted on."""


def fully_labelled(
    records: Sequence[DatasetImage],
    validation: Sequence[DatasetImage],
    settings: TrainingSettings,
    architecture: Architecture,
) -> list[DatasetImage]:
    """Selects images of one population of which all findings are known.

    The population is the one that probabilities are calibrated in, as an index holds one: images
    of other data sets would teach neighbours by their source. Called before the training, as it may
    fail.

    Args:
        records: of the training images.
        validation: images of the validation split, of which the data set with most known labels is
            the population.
        settings: of the training, with a projection.
        architecture: of the network.

    Raises:
        ConfigurationError: they are too few, or the projection is larger than the network.
    """
    if settings.projection > architecture.channels:
        raise ConfigurationError(
            f"projection is {settings.projection}, and the network has "
            f"{architecture.channels} channels; it must not be more"
        )
    source = best_labelled(validation, settings.findings, settings.uncertain)
    known = [
        record
        for record in records
        if record.source == source
        and targets(record.labels, settings.findings, settings.uncertain)[1].all()
    ]
    if len(known) < FEWEST:
        raise ConfigurationError(
            f"of {len(known)} training images of {source} all findings are known, and a projection "
            f"is fitted on at least {FEWEST}; add such images, or leave it out with --projection 0"
        )
    return known


def project(
    path: Path,
    records: Sequence[DatasetImage],
    settings: TrainingSettings,
    device: Device,
    console: Console,
    resident: ResidentImages | None = None,
) -> None:
    """Fits the projection of a finished checkpoint, and writes it there, unless it has one.

    Args:
        path: of the checkpoint.
        records: of training images, see `fully_labelled`.
        settings: of the training.
        device: of the network.
        console: for progress.
        resident: holds the images; None where they are read from their files.
    """
    checkpoint = load(path)
    card, weights = checkpoint.card, checkpoint.weights
    if card.architecture.projection:
        return
    network = DenseNetwork(card.architecture, len(card.findings), card.spec)
    load_weights(network, weights)
    network.eval().to(device.name)
    pooled, target = _pooled_features(network, records, settings, device, console, resident)
    share = prevalence(records, settings.findings, settings.uncertain)[0]
    centred = pooled - torch.from_numpy(weights[MEAN]).mean(dim=(1, 2))
    projection = fit_projection(centred, target / torch.from_numpy(share).sqrt(), settings)
    architecture = replace(card.architecture, projection=settings.projection)
    save(
        path,
        replace(card, architecture=architecture),
        {**weights, PROJECTION: projection.numpy()},
    )
    console.print(
        f"embeddings of {settings.projection} dimensions, fitted on {len(records):,} images"
    )


def fit_projection(centred: Tensor, findings: Tensor, settings: TrainingSettings) -> Tensor:
    """Fits a projection after which images with similar findings are neighbours.

    Starts from the principal components, and minimises `trainer.losses.pkt_loss`.

    Args:
        centred: float (N, C), centred features of images.
        findings: float (N, F) >= 0, their findings, weighted by rarity.
        settings: of which projection and seed count.

    Returns:
        float32 (D, C).
    """
    generator = torch.Generator().manual_seed(settings.seed)
    inputs = centred / centred.pow(2).sum(dim=1).mean().sqrt()
    components = torch.linalg.eigh(inputs.T @ inputs).eigenvectors  # the largest come last
    weight = components[:, -settings.projection :].T.contiguous().requires_grad_()
    optimizer = Adam([weight], LEARNING_RATE)
    for _ in range(STEPS):
        drawn = torch.randperm(len(inputs), generator=generator)[:BATCH]
        kept = torch.rand(len(drawn), inputs.shape[1], generator=generator) >= DROPOUT
        loss = pkt_loss(inputs[drawn] * kept @ weight.T, findings[drawn])
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
    found: Tensor = weight.detach()
    return found


@torch.inference_mode()
def _pooled_features(
    network: DenseNetwork,
    records: Sequence[DatasetImage],
    settings: TrainingSettings,
    device: Device,
    console: Console,
    resident: ResidentImages | None,
) -> tuple[Tensor, Tensor]:
    """Computes pooled maps (N, C) of images without augmentation, with their targets (N, F)."""
    pooled, findings = [], []
    keys = [(settings.epochs, index) for index in range(len(records))]
    loader = batches_of(TrainingImages(records, settings), keys, resident)
    for image, target, _, _, _ in track(loader, "projection", console=console, transient=True):
        with device.autocast():
            maps = network.maps(image.to(device.name))
        pooled.append(maps.float().mean(dim=(2, 3)).cpu())
        findings.append(target.cpu())
    return torch.cat(pooled), torch.cat(findings)
