"""Data sets -> batches of network inputs, targets and masks."""

import math
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from trainer.augment import augmentation
from trainer.settings import Settings
from xemplar.datasets import TRAIN, VAL, Dataset, Film, split_by_patient
from xemplar.errors import ConfigurationError, DatasetError, InputError
from xemplar.findings import targets
from xemplar.preprocess import preprocess
from xemplar.radiograph import decode


def frontal_films(datasets: Sequence[Dataset], settings: Settings) -> dict[str, list[Film]]:
    """Frontal films by split ("train", "val", ...), split by patient where the set names none.

    Raises:
        DatasetError: no frontal films to train on or to validate on, or none that knows any of
            the findings.
    """
    splits: dict[str, list[Film]] = {}
    for dataset in datasets:
        for film in dataset.films:
            known = targets(film.labels, settings.findings, settings.uncertain)[1]
            if film.frontal and known.any():
                splits.setdefault(split_by_patient(film, seed=settings.seed), []).append(film)
    for split in (TRAIN, VAL):
        if not splits.get(split):
            raise DatasetError(
                f"the data set(s) {', '.join(d.name for d in datasets)} have no frontal film in "
                f"the split {split!r} with a known label of {', '.join(settings.findings)}"
            )
    return splits


class FilmTensors(TorchDataset[tuple[Tensor, Tensor, Tensor]]):
    """(epoch, place) -> (grey float (s, s) in [0, 1], target float (F,), known float (F,)).

    Epochs count from 1; the side s is the settings' for that epoch. Augmentation is seeded by
    (seed, epoch, place), so that it is the same whichever process draws it, however many there
    are, and after a restart.
    """

    def __init__(
        self, films: Sequence[Film], settings: Settings, *, augmented: bool = False
    ) -> None:
        self.films = films
        self.settings = settings
        self.augmented = augmented

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """The film at ``key`` = (epoch, place).

        Raises:
            DatasetError: it cannot be read; naming the file.
        """
        epoch, place = key
        film, spec = self.films[place], self.settings.spec_at(epoch)
        try:
            inputs = preprocess(decode(film.path.read_bytes()), spec)
        except (OSError, InputError) as error:
            raise DatasetError(f"the film {film.path} cannot be used: {error}") from error
        grey = torch.from_numpy(inputs).float() / 255
        if self.augmented:
            augment = augmentation(self.settings.augmentation, spec.size)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_seed(self.settings.seed, epoch, place))
                grey = augment(grey[None])[0]
        target, known = targets(film.labels, self.settings.findings, self.settings.uncertain)
        return grey, torch.from_numpy(target), torch.from_numpy(known)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class EpochOrder(Sampler[tuple[int, int]]):
    """The films of one epoch, in a random order that depends only on (seed, epoch).

    With several processes each takes every world-th film; the list is filled up from its start
    so that all have the same number of steps.
    """

    def __init__(self, films: Sequence[Film], settings: Settings, rank: int, world: int) -> None:
        self.sources = [film.source for film in films]
        self.settings = settings
        unknown = set(settings.weights) - set(self.sources)
        if unknown:
            raise ConfigurationError(
                f"weights name {', '.join(sorted(unknown))}, and the data sets are "
                f"{', '.join(sorted(set(self.sources)))}"
            )
        self.rank = rank
        self.world = world
        self.epoch = 0

    def _order(self) -> list[int]:
        generator = np.random.default_rng((self.settings.seed, self.epoch))
        by_source: dict[str, list[int]] = {}
        for place, source in enumerate(self.sources):
            by_source.setdefault(source, []).append(place)
        shares = shares_of(
            {source: len(places) for source, places in by_source.items()},
            self.settings.films_per_epoch or len(self.sources),
            self.settings.weights,
        )
        drawn = [
            int(place)
            for source, places in by_source.items()
            for place in generator.choice(places, shares[source], replace=False)
        ]
        generator.shuffle(drawn)
        missing = -len(drawn) % self.world
        return (drawn + drawn[:missing])[self.rank :: self.world]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, place) for place in self._order())

    def __len__(self) -> int:
        total = min(self.settings.films_per_epoch or len(self.sources), len(self.sources))
        return -(-total // self.world)


def shares_of(sizes: Mapping[str, int], total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Split ``total`` between sets of these sizes by weight; what a small set lacks, others give.

    Args:
        sizes: of the sets, by name.
        total: films to draw.
        weights: by name, greater than 0; 1 for what is not named.

    Returns:
        The shares; they add up to ``min(total, sum of sizes)``.
    """
    shares: dict[str, int] = {}
    left, weight = min(total, sum(sizes.values())), {s: weights.get(s, 1.0) for s in sizes}
    # who is used up first comes first
    for source in sorted(sizes, key=lambda source: sizes[source] / weight[source]):
        remaining = sum(weight[other] for other in sizes if other not in shares)
        shares[source] = min(sizes[source], math.floor(left * weight[source] / remaining + 1e-9))
        left -= shares[source]
    return shares


def batches(
    films: FilmTensors, keys: Iterable[tuple[int, int]], *, drop_last: bool = False
) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    """Batches of films, by (epoch, place), read and augmented by the settings' worker processes.

    Workers are forked from a small server process and not from this one: it has threads (PyTorch's,
    perhaps OpenVINO's and FAISS's), and a process with threads cannot be forked safely.
    """
    workers = films.settings.workers
    context = None
    if workers:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["trainer.films"])
    return DataLoader(
        films,
        batch_size=films.settings.batch,
        sampler=keys,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=workers > 0,
        drop_last=drop_last,
    )


def check_readable(films: Sequence[Film]) -> None:
    """Refuse a data set whose first film of each source is missing, before hours of training.

    Raises:
        DatasetError: naming the file.
    """
    for film in {film.source: film for film in reversed(films)}.values():
        if not film.path.is_file():
            raise DatasetError(
                f"the label file of {film.source} names {film.path}, and there is no such film"
            )
