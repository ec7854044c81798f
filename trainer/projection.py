"""After the last epoch: a linear layer after which films of like findings are neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.optim import Adam

from xemplar.checkpoint import load, save
from xemplar.datasets import Film
from xemplar.errors import ConfigurationError
from xemplar.findings import targets
from xemplar.network import MEAN, PROJECTION, Architecture
from xemplar.network.pytorch import DenseNetwork, load_weights

from .epoch import Device
from .films import FilmTensors, batches
from .initial import prevalence
from .learner import unlike
from .settings import Settings

STEPS, RATE, DROPPED = 300, 1e-3, 0.3
"""Steps of Adam, their rate, and the share of channels that each of them does without."""

AT_ONCE = 2048
"""Films that a step compares with each other, at most."""

FEWEST = 16
"""Films below which nothing is learnt."""


def films_to_project(
    films: Sequence[Film], settings: Settings, architecture: Architecture
) -> list[Film]:
    """Those of which all findings are known; asked for before the training, as it may fail.

    Args:
        films: of the training.
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
    known = [
        film
        for film in films
        if targets(film.labels, settings.findings, settings.uncertain)[1].all()
    ]
    if len(known) < FEWEST:
        raise ConfigurationError(
            f"of {len(known)} training films all findings are known, and a projection is learnt "
            f"from at least {FEWEST}; add such films, or leave it out with --projection 0"
        )
    return known


def project(
    path: Path, films: Sequence[Film], settings: Settings, device: Device, console: Console
) -> None:
    """Learn the projection of a finished checkpoint, and write it there, unless it has one.

    Args:
        path: of the checkpoint.
        films: of the training, see `films_to_project`.
        settings: of the training.
        device: where the network runs.
        console: where progress goes.
    """
    checkpoint = load(path)
    card, weights = checkpoint.card, checkpoint.weights
    if card.architecture.projection:
        return
    network = DenseNetwork(card.architecture, len(card.findings), card.spec)
    load_weights(network, weights)
    pooled, target = _seen(network.eval().to(device.name), films, settings, device, console)
    share = prevalence(films, settings.findings, settings.uncertain)[0]
    apart = pooled - torch.from_numpy(weights[MEAN]).mean(dim=(1, 2))
    learnt = learn(apart, target / torch.from_numpy(share).sqrt(), settings)
    projected = replace(card.architecture, projection=settings.projection)
    save(
        path,
        replace(card, architecture=projected),
        {**weights, PROJECTION: learnt.numpy()},
    )
    console.print(f"embeddings of {settings.projection} numbers, learnt from {len(films):,} films")


def learn(apart: Tensor, findings: Tensor, settings: Settings) -> Tensor:
    """Bring films near one another that are alike in their findings.

    Begins with the principal components, and minimises `trainer.learner.unlike` over films of the
    training.

    Args:
        apart: float (N, C), what departs from the mean in films.
        findings: float (N, F) >= 0, their findings, the rarer the heavier.
        settings: whose projection and seed are taken.

    Returns:
        float32 (D, C).
    """
    generator = torch.Generator().manual_seed(settings.seed)
    inputs = apart / apart.pow(2).sum(dim=1).mean().sqrt()
    components = torch.linalg.eigh(inputs.T @ inputs).eigenvectors  # the largest come last
    weight = components[:, -settings.projection :].T.contiguous().requires_grad_()
    optimizer = Adam([weight], RATE)
    for _ in range(STEPS):
        drawn = torch.randperm(len(inputs), generator=generator)[:AT_ONCE]
        kept = torch.rand(len(drawn), inputs.shape[1], generator=generator) >= DROPPED
        loss = unlike(inputs[drawn] * kept @ weight.T, findings[drawn])
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
    found: Tensor = weight.detach()
    return found


@torch.inference_mode()
def _seen(
    network: DenseNetwork,
    films: Sequence[Film],
    settings: Settings,
    device: Device,
    console: Console,
) -> tuple[Tensor, Tensor]:
    """What the network makes of films as they are, pooled (N, C), and their findings (N, F)."""
    pooled, findings = [], []
    keys = [(settings.epochs, place) for place in range(len(films))]
    loader = batches(FilmTensors(films, settings), keys)
    for grey, target, _, _, _ in track(loader, "projection", console=console, transient=True):
        with device.autocast():
            maps = network.maps(grey.to(device.name))
        pooled.append(maps.float().mean(dim=(2, 3)).cpu())
        findings.append(target)
    return torch.cat(pooled), torch.cat(findings)
