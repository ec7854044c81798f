"""Where the weights come from before the first step."""

import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor
from torchvision.models import DenseNet169_Weights

from xemplar import checkpoint
from xemplar.artefact import file_digest
from xemplar.errors import ConfigurationError
from xemplar.network.pytorch import DenseNetwork

OLD_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""torchvision's published DenseNet files write ``norm.1.weight`` for today's ``norm1.weight``."""


def initialise(network: DenseNetwork, initial: str) -> None:
    """Put initial weights into the network; the linear layer is kept only if its shape fits.

    Args:
        network: fresh, with random weights.
        initial: "none" (stay random), "imagenet" (torchvision's), or the path of a checkpoint of
            this software or of a torchvision state dict.

    Raises:
        ConfigurationError: the weights cannot be had, or are of another network.
    """
    if initial == "none":
        return
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


def origin(initial: str) -> str:
    """What a checkpoint says of where it came from: a file by its digest, not by its place."""
    path = Path(initial)
    return f"sha256:{file_digest(path)}" if path.is_file() else initial


def _imagenet() -> dict[str, Tensor]:
    try:
        return _today(dict(DenseNet169_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)))
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
        return {n: torch.from_numpy(v) for n, v in checkpoint.load(path).weights.items()}
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # tensors, no code runs
        return _today(loaded)
    except (UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise ConfigurationError(
            f"--initial {path} is no checkpoint (*.safetensors) and no torchvision state dict"
        ) from error


def _today(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {OLD_NAMES.sub(r"\1\2", name): value for name, value in state.items()}
