"""Masks of the network's input, and the network's outputs under each."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import write_file
from xemplar.model.encoder import Encoder

from ..encoding import SHARD

CORNERS, NO_CORNERS = "the four corners alone", "all but the corners"
BORDER, NO_BORDER = "the border alone", "all but the border"

CORNER_SIDE = 1 / 5
"""Side of each of the four squares, as a share of the input's: 45 of 224 pixels."""

BORDER_WIDTH = 22 / 224
"""Width of the frame along the four edges, likewise: about a tenth."""

IMAGES_AT_ONCE = 4
"""Images of a batch, each under all four masks: batches of 16."""

Mask = npt.NDArray[np.bool_]


def masks(size: int) -> Mapping[str, Mask]:
    """Builds the masks by name, bool (size, size); outside them the input is black."""
    offsets = np.arange(size)
    from_edge = np.minimum(offsets, size - 1 - offsets)
    near = from_edge < round(CORNER_SIDE * size)
    inside = from_edge >= round(BORDER_WIDTH * size)
    corners, middle = np.outer(near, near), np.outer(inside, inside)
    return {CORNERS: corners, NO_CORNERS: ~corners, BORDER: ~middle, NO_BORDER: middle}


def covered(inputs: npt.NDArray[np.uint8], mask: Mask) -> npt.NDArray[np.uint8]:
    """Blackens inputs, uint8 (..., s, s), outside the mask, bool (s, s)."""
    return np.where(mask, inputs, np.uint8(0))


def masked_logits(
    inputs: npt.NDArray[np.uint8],
    encoder: Encoder,
    work: Path,
    on_progress: Callable[[int], None],
) -> Mapping[str, npt.NDArray[np.float32]]:
    """Computes logits of images under each mask; a forward pass for each image and mask.

    Args:
        inputs: uint8 (N, s, s), N >= 1.
        encoder: the network.
        work: folder that takes one file for each `SHARD` images; one that is there is not made
            again. Only runs with the same images and network share it.
        on_progress: called with the number of images done.

    Returns:
        Name of the mask -> logits, float32 (N, F).
    """
    shown = masks(inputs.shape[-1])
    parts = []
    for begin in range(0, len(inputs), SHARD):
        file = work / f"masked-{begin:06d}.npy"
        if not file.is_file():
            logits = _encode(inputs, begin, shown, encoder, on_progress)
            content = BytesIO()
            np.save(content, logits, allow_pickle=False)
            write_file(file, content.getvalue())
        parts.append(np.load(file, allow_pickle=False))
        on_progress(min(begin + SHARD, len(inputs)))
    return dict(zip(shown, np.concatenate(parts, axis=1), strict=True))


def _encode(
    inputs: npt.NDArray[np.uint8],
    begin: int,
    shown: Mapping[str, Mask],
    encoder: Encoder,
    on_progress: Callable[[int], None],
) -> npt.NDArray[np.float32]:
    """Encodes one shard: logits, float32 (masks, n, F)."""
    end, found = min(begin + SHARD, len(inputs)), []
    for first in range(begin, end, IMAGES_AT_ONCE):
        images = inputs[first : min(first + IMAGES_AT_ONCE, end)]
        batch = np.concatenate([covered(images, mask) for mask in shown.values()])
        logits = encoder.encode(batch).logits
        found.append(logits.reshape(len(shown), len(images), -1))
        on_progress(first + len(images))
    return np.concatenate(found, axis=1)
