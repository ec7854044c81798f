"""Data sets -> samples and batches: network input, targets, and where findings may be."""

import multiprocessing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.data.findings import targets
from xemplar.data.splits import patient_key
from xemplar.errors import DatasetError, InputError
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.preprocess import InputRegion, input_region, preprocess
from xemplar.model.densenet import STRIDE

from .augment import augment
from .box_supervision import PRIOR_WEIGHT, BoxSupervision, Masks, to_input_frame
from .settings import TrainingSettings


def frontal_images(
    datasets: Sequence[Dataset], settings: TrainingSettings
) -> dict[str, list[DatasetImage]]:
    """Selects frontal images by split, split by patient where a data set names none.

    Returns:
        Split ("train", "val", ...) -> images of which at least one finding is known.

    Raises:
        DatasetError: no frontal images to train on or to validate on, or none that knows any of
            the findings; two data sets of one name; a patient both trained and validated on.
    """
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise DatasetError(
            f"data sets share a name: {', '.join(sorted(names))}; name them apart with --source"
        )
    splits: dict[str, list[DatasetImage]] = {}
    for dataset in datasets:
        for image in dataset.images:
            known = targets(image.labels, settings.findings, settings.uncertain)[1]
            if image.is_frontal and known.any():
                splits.setdefault(settings.split.of(image), []).append(image)
    for split in (TRAIN, VAL):
        if not splits.get(split):
            raise DatasetError(
                f"the data set(s) {', '.join(d.name for d in datasets)} have no frontal image in "
                f"the split {split!r} with a known label of {', '.join(settings.findings)}"
            )
    both = len(_patients(splits, TRAIN) & _patients(splits, VAL))
    if both:
        raise DatasetError(
            f"{both:,} patients of {', '.join(names)} are in train and in val too, so "
            "that validation would flatter; put all images of a patient into one split"
        )
    return splits


def held_out_too(splits: Mapping[str, Sequence[DatasetImage]]) -> dict[str, int]:
    """Counts patients of train and val who are in other splits as well: split -> patients."""
    learnt = _patients(splits, TRAIN) | _patients(splits, VAL)
    counts = {split: len(learnt & _patients(splits, split)) for split in sorted(splits)}
    return {split: n for split, n in counts.items() if n and split not in (TRAIN, VAL)}


def _patients(
    splits: Mapping[str, Sequence[DatasetImage]], split: str
) -> set[tuple[str, str, str]]:
    return {patient_key(image) for image in splits[split]}


class Sample(NamedTuple):
    """Tensors of one training image; in a batch of N, each has N in front.

    Attributes:
        image: float (s, s), grey values in [0, 1].
        target: float (F,), 1 where the finding is present; in between with soft labels.
        known: float (F,) in [0, 1], weight of the label; 0 where it is unknown.
        location: float (F, s/32, s/32), share of each cell that shows the finding, or may.
        location_weight: float (F,) in [0, 1], weight of that location in the outside-box loss.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    location: Tensor
    location_weight: Tensor


class TrainingImages(TorchDataset[Sample]):
    """Samples of images by (epoch, index).

    Epochs count from 1; the side s is the settings' for that epoch. Augmentation is seeded by
    (seed, epoch, index), so that it is the same whichever process draws it, however many there
    are, and after a restart.

    Args:
        records: of the images, N.
        settings: of the training.
        augmented: whether images are augmented.
        boxes: where findings are; None where that does not matter.
        soft_labels: float32 (N, F) in [0, 1]; the settings give their share in the target.
        label_weights: float32 (N, F) in [0, 1] (`trainer.label_weights`); None for 1.
    """

    def __init__(
        self,
        records: Sequence[DatasetImage],
        settings: TrainingSettings,
        *,
        augmented: bool = False,
        boxes: BoxSupervision | None = None,
        soft_labels: npt.NDArray[np.float32] | None = None,
        label_weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.records = records
        self.settings = settings
        self.augmented = augmented
        self.boxes = boxes
        self.soft_labels = soft_labels
        self.label_weights = label_weights

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Reads the image at ``key`` = (epoch, index).

        Raises:
            DatasetError: it cannot be read; naming the file.
        """
        epoch, index = key
        spec = self.settings.spec_at(epoch)
        radiograph = read(self.records[index])
        image = preprocess(radiograph, spec).astype(np.float32) / np.float32(255)
        masks, which = self.masks(index, input_region(spec, *radiograph.source_size), spec.size)
        if self.augmented:
            generator = np.random.default_rng((self.settings.seed, epoch, index))
            image, masks = augment(image, masks, self.settings.augmentation, generator)
        target, known, weight = self.labels(index, which)
        location = F.adaptive_avg_pool2d(torch.from_numpy(masks), spec.size // STRIDE)[which]
        return Sample(torch.from_numpy(image), target, known, location, weight)

    def labels(self, index: int, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns ``target``, ``known`` and ``location_weight`` of a sample, float32 (F,) each.

        Args:
            index: of the image.
            which: of `masks`.
        """
        record = self.records[index]
        target, known = targets(record.labels, self.settings.findings, self.settings.uncertain)
        if self.label_weights is not None:
            known *= self.label_weights[index]
        weight = torch.from_numpy(target * known) * torch.where(which > 0, 1.0, PRIOR_WEIGHT)
        if self.soft_labels is not None:
            share = self.settings.soft_label_weight
            target = target + share * (self.soft_labels[index] - target)
        return torch.from_numpy(target), torch.from_numpy(known), weight

    def masks(self, index: int, placed: InputRegion, size: int) -> tuple[Masks, Tensor]:
        """Returns the image's masks (n, p, p) in the input's frame, and each finding's one (F,).

        The first mask is that of findings without a box.
        """
        if self.boxes is None:
            none = torch.zeros(len(self.settings.findings), dtype=torch.int64)
            return np.ones((1, 1, 1), np.float32), none
        masks, which = self.boxes.masks(index)
        return to_input_frame(masks, placed, size), torch.from_numpy(which)


def read(record: DatasetImage) -> Radiograph:
    """Decodes the image of a record.

    Raises:
        DatasetError: it cannot be read; naming the file.
    """
    try:
        return decode(record.path.read_bytes())
    except (OSError, InputError) as error:
        raise DatasetError(f"the image {record.path} cannot be used: {error}") from error


def loader_of(
    images: TrainingImages, keys: Iterable[tuple[int, int]], *, drop_last: bool = False
) -> DataLoader[Sample]:
    """Builds a loader of batches by (epoch, index), with the settings' worker processes."""
    workers = images.settings.workers
    return DataLoader(
        images,
        batch_size=images.settings.batch_size,
        sampler=keys,
        persistent_workers=workers > 0,
        drop_last=drop_last,
        **worker_options(workers),
    )


def worker_options(workers: int) -> dict[str, Any]:
    """Returns a DataLoader's options for worker processes.

    Workers are forked from a small server process and not from this one: it has threads (PyTorch's,
    perhaps OpenVINO's and FAISS's), and a process with threads cannot be forked safely.

    Args:
        workers: number of processes; 0 for this one.
    """
    if not workers:
        return {}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return {
        "num_workers": workers,
        "multiprocessing_context": context,
        "worker_init_fn": _one_thread,
    }


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)  # the workers share the processor between them


def check_readable(records: Sequence[DatasetImage]) -> None:
    """Refuses a data set whose first image of each source is missing, before hours of training.

    Raises:
        DatasetError: naming the file.
    """
    for record in {record.source: record for record in reversed(records)}.values():
        if not record.path.is_file():
            raise DatasetError(
                f"the label file of {record.source} names {record.path}, and there is no such image"
            )
