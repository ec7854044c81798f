"""State of a training, to resume it after a kill: tensors in safetensors, the rest in JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from xemplar.archive.artefact import write_file
from xemplar.errors import ConfigurationError

FORMER_NAMES: Mapping[str, str] = {
    "average": "ema_decay",
    "batch": "batch_size",
    "boxes": "box_weight",
    "images_per_epoch": "images_per_epoch",
    "hide": "erasing_chance",
    "hint": "distillation_weight",
    "lead": "warmup_epochs",
    "metric": "pkt_weight",
    "soft": "soft_label_weight",
    "weights": "sampling_weights",
}
"""Settings that unfinished runs and checkpoints may still hold under an earlier name."""


def save_state(
    path: Path,
    network: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    progress: Mapping[str, Any],
) -> None:
    """Writes network, optimizer, scheduler and progress (JSON values) whole or not at all."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {f"network.{k}": v for k, v in network.state_dict().items()}
    for number, moments in state["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
    rest = {
        "groups": state["param_groups"],
        "scheduler": scheduler.state_dict(),
        "progress": progress,
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, safetensors.torch.save(contiguous, {"state": json.dumps(rest)}))


def progress_of(path: Path) -> dict[str, Any]:
    """Reads the progress alone, and no tensor."""
    with safe_open(path, framework="pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["state"])["progress"]
    return progress


def load_state(
    path: Path, network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler
) -> dict[str, Any]:
    """Restores a written state.

    Returns:
        The progress.

    Raises:
        ConfigurationError: the state is of another network.
    """
    tensors: dict[str, dict[str, Tensor]] = {}
    own: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        rest = json.loads(file.metadata()["state"])
        for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            kind, _, key = name.partition(".")
            if kind == "network":
                own[_present_name(key)] = file.get_tensor(name)
            else:
                number, _, moment = key.partition(".")
                tensors.setdefault(number, {})[moment] = file.get_tensor(name)
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{path} is of another network: {error}; choose another --out folder"
        ) from error
    moments = {int(number): values for number, values in tensors.items()}
    optimizer.load_state_dict({"state": moments, "param_groups": rest["groups"]})
    scheduler.load_state_dict(rest["scheduler"])
    progress: dict[str, Any] = rest["progress"]
    return progress


def _present_name(key: str) -> str:
    """Renames a tensor of an unfinished run of release 0.1."""
    return key.replace("learner.hints.", "student.distillation.").replace("learner.", "student.")


def with_present_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Renames stored settings, and those nested in them, to what they are called now."""
    return {
        FORMER_NAMES.get(name, name): with_present_names(value) if name == "augmentation" else value
        for name, value in stored.items()
    }
