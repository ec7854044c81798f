"""Data sets -> batches of network inputs, targets and masks."""

import math
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from xemplar.datasets import TRAIN, VAL, Dataset, Film
from xemplar.errors import ConfigurationError, DatasetError, InputError
from xemplar.findings import targets
from xemplar.network import STRIDE
from xemplar.preprocess import Frame, frame, preprocess
from xemplar.radiograph import decode
from xemplar.splits import who

from .augment import augment
from .places import USUALLY, Places, Plan, onto_input
from .settings import Settings


def frontal_films(datasets: Sequence[Dataset], settings: Settings) -> dict[str, list[Film]]:
    """Frontal films by split ("train", "val", ...), split by patient where the set names none.

    Raises:
        DatasetError: no frontal films to train on or to validate on, or none that knows any of
            the findings; two data sets of one name; a patient both trained and validated on.
    """
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise DatasetError(
            f"data sets share a name: {', '.join(sorted(names))}; name them apart with --source"
        )
    splits: dict[str, list[Film]] = {}
    for dataset in datasets:
        for film in dataset.films:
            known = targets(film.labels, settings.findings, settings.uncertain)[1]
            if film.frontal and known.any():
                splits.setdefault(settings.split.of(film), []).append(film)
    for split in (TRAIN, VAL):
        if not splits.get(split):
            raise DatasetError(
                f"the data set(s) {', '.join(d.name for d in datasets)} have no frontal film in "
                f"the split {split!r} with a known label of {', '.join(settings.findings)}"
            )
    taught, judging = ({(f.source, who(f)) for f in splits[split]} for split in (TRAIN, VAL))
    if taught & judging:
        raise DatasetError(
            f"{len(taught & judging):,} patients of {', '.join(names)} are in train and in val "
            "too, so that validation would flatter; put all films of a patient into one split"
        )
    return splits


class Lesson(NamedTuple):
    """What is learnt from a film; of a batch of N, everything has N in front.

    Attributes:
        grey: float (s, s) in [0, 1].
        target: float (F,), 1 where the finding is present; between 0 and 1 where soft labels have
            a share in it.
        known: float (F,), 1 where the label says so or not.
        where: float (F, s/32, s/32), share of each cell that shows the finding, or may.
        due: float (F,), how much the finding's evidence is due there, in [0, 1].
    """

    grey: Tensor
    target: Tensor
    known: Tensor
    where: Tensor
    due: Tensor


class FilmTensors(TorchDataset[Lesson]):
    """(epoch, place) -> the lesson of a film.

    Epochs count from 1; the side s is the settings' for that epoch. Augmentation is seeded by
    (seed, epoch, place), so that it is the same whichever process draws it, however many there
    are, and after a restart.

    ``soft`` holds what other networks say of each film, float32 (N, F) in [0, 1]; the settings say
    how much of it goes into the target.
    """

    def __init__(
        self,
        films: Sequence[Film],
        settings: Settings,
        *,
        augmented: bool = False,
        places: Places | None = None,
        soft: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.films = films
        self.settings = settings
        self.augmented = augmented
        self.places = places
        self.soft = soft

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, key: tuple[int, int]) -> Lesson:
        """The film at ``key`` = (epoch, place).

        Raises:
            DatasetError: it cannot be read; naming the file.
        """
        epoch, place = key
        film, spec = self.films[place], self.settings.spec_at(epoch)
        try:
            radiograph = decode(film.path.read_bytes())
        except (OSError, InputError) as error:
            raise DatasetError(f"the film {film.path} cannot be used: {error}") from error
        grey = preprocess(radiograph, spec).astype(np.float32) / np.float32(255)
        plans, which = self._plans(place, frame(spec, *radiograph.source_size), spec.size)
        if self.augmented:
            generator = np.random.default_rng((self.settings.seed, epoch, place))
            grey, plans = augment(grey, plans, self.settings.augmentation, generator)
        target, known = targets(film.labels, self.settings.findings, self.settings.uncertain)
        due = torch.from_numpy(target * known) * torch.where(which > 0, 1.0, USUALLY)
        if self.soft is not None:
            target = target + self.settings.soft * (self.soft[place] - target)
        return Lesson(
            torch.from_numpy(grey),
            torch.from_numpy(target),
            torch.from_numpy(known),
            F.adaptive_avg_pool2d(torch.from_numpy(plans), spec.size // STRIDE)[which],
            due,
        )

    def _plans(self, place: int, placed: Frame, size: int) -> tuple[Plan, Tensor]:
        """The film's plans (n, p, p) in the frame of the input; which one each finding has (F,)."""
        if self.places is None:
            none = torch.zeros(len(self.settings.findings), dtype=torch.int64)
            return np.ones((1, 1, 1), np.float32), none
        plans, which = self.places.of(place)
        return onto_input(plans, placed, size), torch.from_numpy(which)


class EpochOrder(Sampler[tuple[int, int]]):
    """The films of one epoch, in a random order that depends only on (seed, epoch).

    With several processes each takes every world-th film; the list is filled up from its start
    so that all have the same number of steps.

    Attributes:
        epoch: the next one.
        without: places of films that are not drawn.
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
        self.without: frozenset[int] = frozenset()

    def _order(self) -> list[int]:
        generator = np.random.default_rng((self.settings.seed, self.epoch))
        by_source: dict[str, list[int]] = {}
        for place, source in enumerate(self.sources):
            if place not in self.without:
                by_source.setdefault(source, []).append(place)
        shares = shares_of(
            {source: len(places) for source, places in by_source.items()},
            self._total(),
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
        return -(-self._total() // self.world)

    def _total(self) -> int:
        films = len(self.sources) - len(self.without)
        return min(self.settings.films_per_epoch or films, films)


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
) -> DataLoader[Lesson]:
    """Batches of films, by (epoch, place), read and augmented by the settings' worker processes.

    Workers are forked from a small server process and not from this one: it has threads (PyTorch's,
    perhaps OpenVINO's and FAISS's), and a process with threads cannot be forked safely.
    """
    workers = films.settings.workers
    context = None
    if workers:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    return DataLoader(
        films,
        batch_size=films.settings.batch,
        sampler=keys,
        num_workers=workers,
        multiprocessing_context=context,
        worker_init_fn=_one_thread if workers else None,
        persistent_workers=workers > 0,
        drop_last=drop_last,
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)  # the workers share the processor between them


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
