"""Samplers: the images of an epoch and their order, the same in every run and process."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError

from .distributed import Distributed
from .settings import TrainingSettings


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) of training images in a random order given by (seed, epoch).

    With several processes each takes every world-size-th image; the list is filled up from its
    start so that all have the same number of steps.

    Attributes:
        epoch: the next one.
        excluded: indices of images that are not sampled.
    """

    def __init__(
        self, records: Sequence[DatasetImage], settings: TrainingSettings, processes: Distributed
    ) -> None:
        self.sources = [record.source for record in records]
        self.settings = settings
        unknown = set(settings.sampling_weights) - set(self.sources)
        if unknown:
            raise ConfigurationError(
                f"sampling weights name {', '.join(sorted(unknown))}, and the data sets are "
                f"{', '.join(sorted(set(self.sources)))}"
            )
        self.processes = processes
        self.epoch = 0
        self.excluded: frozenset[int] = frozenset()

    def relative_frequency(self) -> npt.NDArray[np.float32]:
        """Frequency of each image among those drawn, relative to the mean, float32 (N,)."""
        by_source, counts = self._sampled()
        frequency = np.zeros(len(self.sources), np.float32)
        for source, indices in by_source.items():
            frequency[indices] = counts[source] / len(indices)
        return np.asarray(frequency / frequency.mean(), np.float32)

    def _sampled(self) -> tuple[Mapping[str, list[int]], Mapping[str, int]]:
        """Lists each data set's images, and how many of them an epoch samples."""
        by_source: dict[str, list[int]] = {}
        for index, source in enumerate(self.sources):
            if index not in self.excluded:
                by_source.setdefault(source, []).append(index)
        sizes = {source: len(indices) for source, indices in by_source.items()}
        return by_source, samples_by_source(sizes, self._total(), self.settings.sampling_weights)

    def _order(self) -> list[int]:
        generator = np.random.default_rng((self.settings.seed, self.epoch))
        by_source, counts = self._sampled()
        drawn = [
            int(index)
            for source, indices in by_source.items()
            for index in generator.choice(indices, counts[source], replace=False)
        ]
        generator.shuffle(drawn)
        missing = -len(drawn) % self.processes.world_size
        return (drawn + drawn[:missing])[self.processes.rank :: self.processes.world_size]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in self._order())

    def __len__(self) -> int:
        return -(-self._total() // self.processes.world_size)

    def _total(self) -> int:
        images = len(self.sources) - len(self.excluded)
        return min(self.settings.images_per_epoch or images, images)


class SequentialSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) of all images in order; each process takes every world-size-th one.

    All processes take the same number of images; the surplus is cut off later.

    Attributes:
        epoch: the next one.
    """

    def __init__(self, images: int, processes: Distributed) -> None:
        self.images = images
        self.processes = processes
        self.epoch = 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        size, rank = self.processes.world_size, self.processes.rank
        return ((self.epoch, (n * size + rank) % self.images) for n in range(len(self)))

    def __len__(self) -> int:
        return -(-self.images // self.processes.world_size)


def samples_by_source(
    sizes: Mapping[str, int], total: int, weights: Mapping[str, float]
) -> dict[str, int]:
    """Splits ``total`` between data sets by weight; what a small set lacks, others give.

    Args:
        sizes: of the sets, by name.
        total: images to sample.
        weights: by name, greater than 0; 1 for what is not named.

    Returns:
        The number of each set; they add up to ``min(total, sum of sizes)``.
    """
    counts: dict[str, int] = {}
    left, weight = min(total, sum(sizes.values())), {s: weights.get(s, 1.0) for s in sizes}
    # the set that is used up first comes first
    for source in sorted(sizes, key=lambda source: sizes[source] / weight[source]):
        remaining = sum(weight[other] for other in sizes if other not in counts)
        counts[source] = min(sizes[source], math.floor(left * weight[source] / remaining + 1e-9))
        left -= counts[source]
    return counts
