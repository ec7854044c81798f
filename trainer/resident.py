"""Decoded images kept in memory, where a GPU is: a DataLoader cannot read as fast as it trains.

Each image is decoded once, to the network's input at each size of the training (8-bit grey, bit
for bit what a DataLoader would read), and kept on the device, or in the host's memory if the device
has too little. Batches are put together and augmented on the device.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.imaging.preprocess import InputRegion, PreprocessSpec, input_region, preprocess
from xemplar.model.densenet import STRIDE

from .augment_batch import BatchAugmentation
from .data import Sample, TrainingImages, loader_of, read
from .distributed import Distributed
from .sampling import EpochSampler, SequentialSampler
from .settings import TrainingSettings

DEVICE_SHARE, HOST_SHARE = 0.4, 0.5
"""Most of the device's free memory, and of the host's memory, that images take."""

DECODED_TOGETHER = 32
"""Images that a thread hands over at once."""

NAMED = 5
"""Unreadable images that an error names; the others it counts."""

Keys = EpochSampler | SequentialSampler | Sequence[tuple[int, int]]


def specs_of(settings: TrainingSettings) -> dict[int, PreprocessSpec]:
    """Returns the preprocessing at each size of a training."""
    return {spec.size: spec for spec in (settings.spec_at(1), settings.spec)}


class ResidentImages:
    """Network inputs of images, kept in memory.

    Attributes:
        device: that trains.
        rows: row of each image, by its path.
        shapes: int64 (N, 2), height and width of each image before preprocessing, in pixels.
        inputs: uint8 (N, s, s) for each size s of the training; on the device or on the host.
    """

    def __init__(
        self,
        records: Sequence[DatasetImage],
        settings: TrainingSettings,
        device: str,
        *,
        on_device: bool,
    ) -> None:
        unique = {record.path: record for record in records}
        self.device = device
        self.rows = {path: row for row, path in enumerate(unique)}
        self.shapes = np.zeros((len(unique), 2), np.int64)
        place = device if on_device else "cpu"
        self.inputs = {
            size: torch.empty((len(unique), size, size), dtype=torch.uint8, device=place)
            for size in specs_of(settings)
        }
        self._records = [*unique.values()]
        self._settings = settings

    def decode(self, console: Console) -> None:
        """Decodes the images, in as many threads as there are processors.

        Threads and not a DataLoader's processes: decoding lets go of Python's lock, and processes
        took ten times as long to start and to hand images over (docs/decisions/0035).

        Raises:
            DatasetError: some cannot be read; all were tried.
        """
        some = [
            self._records[start : start + DECODED_TOGETHER]
            for start in range(0, len(self._records), DECODED_TOGETHER)
        ]
        specs, done, unreadable = specs_of(self._settings), 0, list[str]()
        with ThreadPoolExecutor(os.cpu_count() or 1, "decoder") as pool:
            parts = pool.map(lambda records: _decoded(records, specs), some)
            for inputs, shapes, errors in track(
                parts, "decoding", len(some), console=console, transient=True
            ):
                rows = slice(done, done + len(shapes))
                for size, batch in inputs.items():
                    self.inputs[size][rows] = torch.from_numpy(batch).to(self.inputs[size].device)
                self.shapes[rows] = shapes
                unreadable += errors
                done += len(shapes)
        if unreadable:
            more = len(unreadable) - NAMED
            raise DatasetError(
                "; ".join(unreadable[:NAMED])
                + (f"; and {more:,} others of {done:,} images cannot, either" if more > 0 else "")
            )

    def batch(self, rows: Tensor, size: int) -> Tensor:
        """Returns the inputs in some rows, float32 (B, s, s) in [0, 1] on the device.

        Args:
            rows: int64 (B,), on the host.
            size: s.
        """
        inputs = self.inputs[size]
        if inputs.device.type != "cpu":
            found = inputs[rows.to(self.device, non_blocking=True)]
        elif self.device == "cpu":
            found = inputs[rows]
        else:  # pinned memory is copied while the device computes
            found = inputs[rows].pin_memory().to(self.device, non_blocking=True)
        return found.float() / 255

    @property
    def device_bytes(self) -> int:
        """Memory of the device that they take."""
        held = [inputs for inputs in self.inputs.values() if inputs.device.type != "cpu"]
        return sum(inputs.numel() for inputs in held)


def _decoded(
    records: Sequence[DatasetImage], specs: Mapping[int, PreprocessSpec]
) -> tuple[dict[int, npt.NDArray[np.uint8]], npt.NDArray[np.int64], list[str]]:
    """Decodes n images: inputs (n, s, s) by size, (height, width) (n, 2), and errors."""
    inputs = {size: np.zeros((len(records), size, size), np.uint8) for size in specs}
    shapes, errors = np.ones((len(records), 2), np.int64), []
    for row, record in enumerate(records):
        try:
            radiograph = read(record)
        except DatasetError as error:
            errors.append(str(error))
            continue
        for size, spec in specs.items():
            inputs[size][row] = preprocess(radiograph, spec)
        shapes[row] = radiograph.source_size
    return inputs, shapes, errors


class ResidentLoader:
    """Loads batches of resident images, as `trainer.data.loader_of` does of images in files.

    Args:
        images: their settings, labels and boxes.
        keys: (epoch, index) of the images, all of one epoch.
        resident: holds the images.
        drop_last: whether a last, smaller batch is left out.

    Attributes:
        batch_size: images in a batch.
        resident: the images.
    """

    def __init__(
        self,
        images: TrainingImages,
        keys: Keys,
        resident: ResidentImages,
        *,
        drop_last: bool = False,
    ) -> None:
        self.batch_size = images.settings.batch_size
        self.resident = resident
        self._images = images
        self._keys = keys
        self._drop_last = drop_last
        self._rows = torch.tensor([resident.rows[record.path] for record in images.records])
        self._labels = {
            size: _Labels(images, resident, spec)
            for size, spec in specs_of(images.settings).items()
        }

    def __len__(self) -> int:
        count, rest = divmod(len(self._keys), self.batch_size)
        return count + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[Sample]:
        keys = list(self._keys)
        if not keys:
            return
        device, settings, epoch = self.resident.device, self._images.settings, keys[0][0]
        size = settings.spec_at(epoch).size
        labels = self._labels[size]
        augment = None
        if self._images.augmented:
            key, count = (settings.seed, epoch), len(self._images)
            augment = BatchAugmentation(settings.augmentation, key, count, size, device)
        order = torch.tensor([index for _, index in keys])
        on_device = order.to(device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            some = slice(start, start + self.batch_size)
            index = on_device[some]
            image = self.resident.batch(self._rows[order[some]], size)
            masks = labels.masks[labels.which[index]].float()
            if augment is not None:
                image, masks = augment(image, masks, index)
            location = F.adaptive_avg_pool2d(masks, size // STRIDE)
            yield Sample(
                image, labels.target[index], labels.known[index], location, labels.weight[index]
            )


class _Labels:
    """Labels and masks of all images, on the device.

    Attributes:
        target, known, weight: float (N, F), see `trainer.data.Sample`.
        masks: float16 (K, p, p) in the frame of the network's input.
        which: int64 (N, F), each finding's mask among the K.
    """

    def __init__(
        self, images: TrainingImages, resident: ResidentImages, spec: PreprocessSpec
    ) -> None:
        masks: list[np.ndarray] = []
        shared: dict[InputRegion, int] = {}  # the mask of findings without a box is one for all
        labels, chosen = [], []
        for index, record in enumerate(images.records):
            region = input_region(spec, *resident.shapes[resident.rows[record.path]])
            drawn, which = images.masks(index, region, spec.size)
            labels.append(images.labels(index, which))
            if region not in shared:
                shared[region] = len(masks)
                masks.append(drawn[0])
            chosen.append(torch.where(which > 0, len(masks) - 1 + which, shared[region]))
            masks.extend(drawn[1:])
        stacks = (torch.stack(part) for part in zip(*labels, strict=True))
        self.target, self.known, self.weight = (part.to(resident.device) for part in stacks)
        self.masks = torch.from_numpy(np.stack(masks).astype(np.float16)).to(resident.device)
        self.which = torch.stack(chosen).to(resident.device)


Loader = DataLoader[Sample] | ResidentLoader


def batches_of(
    images: TrainingImages,
    keys: Keys,
    resident: ResidentImages | None,
    *,
    drop_last: bool = False,
) -> Loader:
    """Builds a loader of batches by (epoch, index), from memory or from files."""
    if resident is None:
        return loader_of(images, keys, drop_last=drop_last)
    return ResidentLoader(images, keys, resident, drop_last=drop_last)


def resident_images(
    records: Sequence[DatasetImage],
    settings: TrainingSettings,
    device: str,
    processes: Distributed,
    console: Console,
) -> ResidentImages | None:
    """Decodes images to keep them, where the settings and the machine's memory have it so.

    Args:
        records: of training and validation images.
        settings: of the training.
        device: that trains.
        processes: of the training; each keeps all images.
        console: for progress.

    Returns:
        None where a DataLoader is to read them.

    Raises:
        DatasetError: some images cannot be read.
        ConfigurationError: they are to be kept, and the memory is too small.
    """
    if settings.resident == "no" or (settings.resident == "auto" and device == "cpu"):
        return None
    needed = len({record.path for record in records}) * sum(size**2 for size in specs_of(settings))
    free = 0 if device == "cpu" else torch.cuda.mem_get_info(device)[0]
    on_device = needed <= DEVICE_SHARE * free
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / processes.world_size
    if not on_device and needed > HOST_SHARE * host:
        said = (
            f"{len(records):,} images take {needed / 2**30:.1f} GiB, and {HOST_SHARE:.0%} of the "
            f"memory is {HOST_SHARE * host / 2**30:.1f} GiB for each process"
        )
        if settings.resident == "yes":
            raise ConfigurationError(f"{said}; leave out --resident yes")
        console.print(f"{said}: they are read from their files in each epoch")
        return None
    resident = ResidentImages(records, settings, device, on_device=on_device)
    resident.decode(console)
    place = device if on_device else "the host's memory"
    console.print(f"{len(records):,} images decoded, {needed / 2**30:.2f} GiB in {place}")
    return resident
