"""Memory of a GPU that is used up: where it went, and which batch may fit."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from xemplar.errors import ConfigurationError

from .resident import Loader, ResidentImages, ResidentLoader


@contextmanager
def exhaustion_explained(
    loader: Loader, network: object, optimizer: Optimizer | None = None
) -> Iterator[None]:
    """Explains why a device's memory does not suffice for a loader's batches.

    Args:
        loader: of the batches.
        network: that computes them.
        optimizer: of the network, if it is trained.

    Raises:
        ConfigurationError: the memory was used up in the context.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        resident = loader.resident if isinstance(loader, ResidentLoader) else None
        raise ConfigurationError(
            _explanation(loader.batch_size or 1, resident, network, optimizer)
        ) from error


def _explanation(
    batch_size: int, resident: ResidentImages | None, network: object, optimizer: Optimizer | None
) -> str:
    images = resident.device_bytes if resident else 0
    parts = {"resident images": images}
    if isinstance(network, Module):
        tensors = [*network.parameters(), *network.buffers()]
        parts["weights and gradients"] = _bytes(tensors) + (
            _bytes(network.parameters()) if optimizer else 0
        )
    if optimizer:
        moments = [value for state in optimizer.state.values() for value in state.values()]
        parts["the optimizer"] = _bytes(value for value in moments if isinstance(value, Tensor))
    cures = []
    if batch_size > 1:
        cures.append(f"--batch-size {batch_size // 2}")
    if images:
        cures.append("--resident no")
    return (
        f"the device's memory is too small for batches of {batch_size} images: "
        + ", ".join(f"{name} take {size / 2**30:.2f} GiB" for name, size in parts.items() if size)
        + "; the rest went to the network's maps, or to other programs; try "
        + " or ".join(cures or ["smaller images (--size)"])
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Sums the memory of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
