"""After the training: channels of the embedding by how much they tell films apart.

A channel that is about as strong on every film says little of any, and yet makes every cosine
large. Where such channels are many, all films look alike to a searcher, and to similarity evidence
all places. So each channel is multiplied by the square of its coefficient of variation over films
of the same data set: telling children from adults is no skill.

It is done in the weights: relu(s x) = s relu(x) for s > 0, so the last batch norm's outputs are
multiplied by s and the linear layer's weights divided by it. Logits and Grad-CAM stay as they are;
only the direction of the embedding changes, and evidence still adds up to the similarity.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from trainer.epoch import Device
from trainer.films import FilmTensors, batches
from trainer.settings import Settings
from xemplar.checkpoint import load, save
from xemplar.datasets import Film
from xemplar.network import Weights
from xemplar.network.pytorch import DenseNetwork, load_weights

WEIGHTED = "channels_weighted_on"
"""Under this name the checkpoint tells on how many films of which data sets it was done."""

STRONGEST = 100.0
"""Times the median: no channel counts for more, nor for less than one part in so many."""


def weigh_channels(path: Path, films: Sequence[Film], settings: Settings, device: Device) -> None:
    """Weigh the channels of a checkpoint, in its file; once only.

    Args:
        path: of the checkpoint.
        films: of the training; of each data set so many as the settings' ``weigh`` are drawn.
        settings: of the training.
        device: where to.

    Raises:
        ConfigurationError, CorruptArtefact, DatasetError: checkpoint or films cannot be read.
    """
    checkpoint = load(path)
    card = checkpoint.card
    if WEIGHTED in card.training:
        return
    shuffled = [films[n] for n in np.random.default_rng(settings.seed).permutation(len(films))]
    by_source: dict[str, list[Film]] = {}
    for film in shuffled:
        by_source.setdefault(film.source, []).append(film)
    drawn = {source: own[: settings.weigh] for source, own in by_source.items()}
    network = DenseNetwork(card.architecture, len(card.findings), card.spec)
    load_weights(network, checkpoint.weights)
    pooled = [_pooled(network, own, settings, device) for own in drawn.values()]
    told = {**card.training, WEIGHTED: {source: len(own) for source, own in drawn.items()}}
    weights = scaled(checkpoint.weights, channel_weights(pooled))
    save(path, replace(card, training=told), weights)


def channel_weights(pooled: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The square of each channel's coefficient of variation, over its median.

    Args:
        pooled: of each data set float32 (N, C) >= 0, the pooled maps of N films.

    Returns:
        float32 (C,), the mean over the data sets, from 1 / STRONGEST to STRONGEST.
    """
    tiny = np.finfo(np.float64).tiny  # a channel that is never active varies by nothing
    varied = [
        np.square(own.std(axis=0, dtype=np.float64) / (own.mean(axis=0, dtype=np.float64) + tiny))
        for own in pooled
    ]
    squared = np.mean(varied, axis=0)
    middle = max(float(np.median(squared)), tiny)
    return np.asarray(np.clip(squared / middle, 1 / STRONGEST, STRONGEST), np.float32)


def scaled(weights: Weights, by: npt.NDArray[np.float32]) -> Weights:
    """The same network with each channel of the last maps multiplied by a positive number.

    Args:
        weights: of the network.
        by: float32 (C,), > 0.
    """
    changed = dict(weights)
    for name in ("features.norm5.weight", "features.norm5.bias"):
        changed[name] = weights[name] * by
    changed["classifier.weight"] = weights["classifier.weight"] / by
    return changed


@torch.inference_mode()
def _pooled(
    network: DenseNetwork, films: Sequence[Film], settings: Settings, device: Device
) -> npt.NDArray[np.float32]:
    """Pooled maps (N, C) of films at their full size, unchanged."""
    network.to(device.name).eval()
    keys = [(settings.epochs, place) for place in range(len(films))]
    rows = []
    for lesson in batches(FilmTensors(films, settings), keys):
        with device.autocast():
            maps = network.maps(lesson.grey.to(device.name))
        rows.append(maps.float().mean(dim=(2, 3)).cpu().numpy())
    return np.concatenate(rows)
