"""Initial weights of a training: random, ImageNet's, or another checkpoint's."""

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet169_Weights

from xemplar.archive.artefact import file_digest
from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import UncertainPolicy, targets
from xemplar.errors import ConfigurationError
from xemplar.model import checkpoint
from xemplar.model.densenet import EMBEDDING
from xemplar.model.pytorch import DenseNetwork

OLD_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""torchvision's published DenseNet files write ``norm.1.weight`` for today's ``norm1.weight``."""


def initialise(network: DenseNetwork, initial: str) -> bool:
    """Loads initial weights into the network; the linear layer only if its shape fits.

    Args:
        network: fresh, with random weights.
        initial: "none" (stay random), "imagenet" (torchvision's), or the path of a checkpoint of
            this software or of a torchvision state dict.

    Returns:
        True if the linear layer came with the weights.

    Raises:
        ConfigurationError: the weights cannot be had, or are of another network.
    """
    if initial == "none":
        return False
    state = _imagenet() if initial == "imagenet" else _file(Path(initial))
    own = network.dense.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        if name in state and state[name].shape != own[name].shape:
            del state[name]
    try:
        missing = network.dense.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ConfigurationError(
            f"the weights {initial} are of another network: {error}"
        ) from error
    lost = [n for n in missing.missing_keys if n.startswith("features.") and "num_batches" not in n]
    if lost or missing.unexpected_keys:
        raise ConfigurationError(
            f"the weights {initial} are of another network: {len(lost)} are missing, as "
            f"{lost[:2]}; {len(missing.unexpected_keys)} unknown, as {missing.unexpected_keys[:2]}"
        )
    return "classifier.bias" in state


def set_bias_to_prevalence(
    classifier: nn.Linear,
    records: Sequence[DatasetImage],
    findings: Sequence[str],
    policy: UncertainPolicy,
    weights: npt.NDArray[np.float32] | None = None,
) -> None:
    """Sets each output's bias to the log odds of its finding's prevalence.

    Lin et al., Focal Loss, ICCV 2017, section 4.1. Otherwise the weights learn to pull the logits
    of rare findings down everywhere, and then Grad-CAM, in which the bias has no part, is zero
    everywhere on images that show the finding.

    Args:
        classifier: its bias is set; that of a finding that no image knows stays.
        records: of the training images.
        findings: the outputs, in their order.
        policy: for uncertain labels.
        weights: of the labels, see `prevalence`.
    """
    share, known = prevalence(records, findings, policy, weights)
    odds = torch.from_numpy(np.log(share / (1 - share)))
    with torch.no_grad():
        bias = classifier.bias
        bias.copy_(torch.where(torch.from_numpy(known > 0), odds.to(bias.device), bias))


def prevalence(
    records: Sequence[DatasetImage],
    findings: Sequence[str],
    policy: UncertainPolicy,
    weights: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Counts the findings of images.

    Half an image with each finding and half an image without it are added, so that the odds of
    none and all are finite.

    Args:
        records: of the images, N.
        findings: to count, F.
        policy: for uncertain labels.
        weights: float32 (N, F) of the labels, such as `label_weights.weights_as_drawn`; None for 1.

    Returns:
        (share with the finding among the images of which it is known; weighted number of those
        images), both float32 (F,).
    """
    every = [targets(record.labels, findings, policy) for record in records]
    present, assessed = (np.stack(part) for part in zip(*every, strict=True))
    weighted = assessed if weights is None else assessed * weights
    target, known = (present * weighted).sum(axis=0), weighted.sum(axis=0)
    share = (target + 0.5) / (known + 1)
    return share.astype(np.float32), known.astype(np.float32)


def weights_origin(initial: str) -> str:
    """Names initial weights as a checkpoint records them: a file by its digest, not its path."""
    path = Path(initial)
    return f"sha256:{file_digest(path)}" if path.is_file() else initial


LINEAGE = (
    "seed", "split", "datasets", "learnt", "whose", "patients", "membership", "initial",
    "initial_training",
)  # fmt: skip
"""Entries of a training that identify the patients its weights were learnt from."""


def earlier_training(initial: str) -> dict[str, Any] | None:
    """Reads the lineage of initial weights from their checkpoint; None where there is none.

    A training that continues from a checkpoint has also learnt from its patients.
    """
    path = Path(initial)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    training = checkpoint.load(path).card.training
    return {name: training[name] for name in LINEAGE if name in training}


def _imagenet() -> dict[str, Tensor]:
    try:
        return _renamed(dict(DenseNet169_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)))
    except (OSError, RuntimeError) as error:  # no connection, or a file cut short
        raise ConfigurationError(
            f"torchvision's ImageNet weights cannot be downloaded ({error}); give a local "
            "copy with --initial FILE, or start from random weights with --initial none"
        ) from error


def _file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigurationError(
            f"--initial {path}: there is no such file; give a path, 'imagenet' or 'none'"
        )
    if path.suffix == ".safetensors":
        weights = checkpoint.load(path).weights
        return {n: torch.from_numpy(v) for n, v in weights.items() if n not in EMBEDDING}
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # tensors, no code runs
        return _renamed(loaded)
    except (UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise ConfigurationError(
            f"--initial {path} is no checkpoint (*.safetensors) and no torchvision state dict"
        ) from error


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {OLD_NAMES.sub(r"\1\2", name): value for name, value in state.items()}
