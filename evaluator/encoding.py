"""Encodes images of the data set once; a killed run resumes with what is finished.

The work folder takes one file for each `SHARD` images; one that is there is not made again.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import write_file
from xemplar.data.datasets import DatasetImage
from xemplar.errors import InputError
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.densenet import STRIDE, Features
from xemplar.model.encoder import BATCH, Encoder

SHARD = 128
"""Images in a file of the work folder."""

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Outputs of the network for the N readable images of a list.

    Attributes:
        indices: int64 (N,), index of each image in the list.
        sha256: of each file, N hex digests.
        shapes: int32 (N, 2), height and width of each image in pixels of its file.
        inputs: uint8 (N, s, s).
        embedding: float32 (N, C).
        logits: float32 (N, F).
        maps: row -> float32 (C, g, g), of the images whose maps were wanted.
        unreadable: (index in the list, reason) of each of the other images.
    """

    indices: npt.NDArray[np.int64]
    sha256: tuple[str, ...]
    shapes: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.uint8]
    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    maps: Mapping[int, npt.NDArray[np.float32]]
    unreadable: tuple[tuple[int, str], ...]


def encoded_batches(encoder: Encoder, inputs: npt.NDArray[np.uint8]) -> Iterator[Features]:
    """Encodes inputs, uint8 (N, s, s), `BATCH` at a time."""
    return (encoder.encode(inputs[n : n + BATCH]) for n in range(0, len(inputs), BATCH))


def encode_images(
    images: Sequence[DatasetImage],
    with_maps: Collection[int],
    encoder: Encoder,
    work: Path,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EncodedImages:
    """Reads and encodes images, or reuses the results of an earlier run.

    Args:
        images: at least one.
        with_maps: indices of images whose maps are to be kept (326 kB each).
        encoder: the network.
        work: folder for what is finished; only runs with the same images and network share it.
        on_progress: called with the number of images done.
    """
    parts: list[Arrays] = []
    for begin in range(0, len(images), SHARD):
        file = work / f"images-{begin:06d}.npz"
        if not file.is_file():
            here = range(begin, min(begin + SHARD, len(images)))
            arrays = _encode(images, here, with_maps, encoder, on_progress)
            content = BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_file(file, content.getvalue())
        with np.load(file, allow_pickle=False) as stored:
            parts.append(dict(stored))
        on_progress(min(begin + SHARD, len(images)))
    all_ = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    row_of = {int(index): row for row, index in enumerate(all_["indices"])}
    return EncodedImages(
        indices=all_["indices"],
        sha256=tuple(map(str, all_["sha256"])),
        shapes=all_["shapes"],
        inputs=all_["inputs"],
        embedding=all_["embedding"],
        logits=all_["logits"],
        maps={row_of[int(p)]: m for p, m in zip(all_["map_places"], all_["maps"], strict=True)},
        unreadable=tuple(
            (int(p), str(reason))
            for p, reason in zip(all_["left_out"], all_["reasons"], strict=True)
        ),
    )


def _encode(
    images: Sequence[DatasetImage],
    here: range,
    with_maps: Collection[int],
    encoder: Encoder,
    on_progress: Callable[[int], None],
) -> Arrays:
    """Encodes one shard; the next batch is read while the network works on this one."""
    spec, size = encoder.checkpoint.card.spec, encoder.checkpoint.card.spec.size
    grid, channels = size // STRIDE, encoder.checkpoint.card.architecture.channels
    found: dict[str, list[npt.NDArray[np.generic]]] = {}
    left_out: list[tuple[int, str]] = []

    def read(index: int) -> tuple[int, str, tuple[int, int], npt.NDArray[np.uint8]] | str:
        try:
            data = images[index].path.read_bytes()
            radiograph = decode(data)
        except (OSError, InputError) as error:
            return str(error)
        sha256 = hashlib.sha256(data).hexdigest()
        return index, sha256, radiograph.source_size, preprocess(radiograph, spec)

    with ThreadPoolExecutor(os.cpu_count() or 2, "reader") as pool:
        steps = [here[n : n + BATCH] for n in range(0, len(here), BATCH)]
        waiting = [pool.map(read, step) for step in steps[:2]]
        for number, step in enumerate(steps):
            if number + 2 < len(steps):
                waiting.append(pool.map(read, steps[number + 2]))
            results = list(zip(step, waiting[number], strict=True))
            left_out += [(index, image) for index, image in results if isinstance(image, str)]
            good = [image for _, image in results if not isinstance(image, str)]
            if good:
                indices, digests, shapes, inputs = zip(*good, strict=True)
                features = encoder.encode(np.stack(inputs))
                wanted = [row for row, index in enumerate(indices) if index in with_maps]
                for name, array in {
                    "indices": np.array(indices, np.int64),
                    "sha256": np.array(digests),
                    "shapes": np.array(shapes, np.int32),
                    "inputs": np.stack(inputs),
                    "embedding": features.embedding,
                    "logits": features.logits,
                    "map_places": np.array(indices, np.int64)[wanted],
                    "maps": features.maps[wanted],
                }.items():
                    found.setdefault(name, []).append(array)
            on_progress(step.stop)
    empty: Arrays = {
        "indices": np.empty(0, np.int64),
        "sha256": np.empty(0, "U64"),
        "shapes": np.empty((0, 2), np.int32),
        "inputs": np.empty((0, size, size), np.uint8),
        "embedding": np.empty((0, channels), np.float32),
        "logits": np.empty((0, len(encoder.checkpoint.card.findings)), np.float32),
        "map_places": np.empty(0, np.int64),
        "maps": np.empty((0, channels, grid, grid), np.float32),
    }
    return {
        **{name: np.concatenate(found[name]) if found else none for name, none in empty.items()},
        "left_out": np.array([index for index, _ in left_out], np.int64),
        "reasons": np.array([reason for _, reason in left_out], "U200"),
    }
