"""The images of an epoch and their order."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.sampling import EpochSampler, samples_by_source
from xemplar_trainer.settings import TrainingSettings

from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError


def image(name: str, **fields: object) -> DatasetImage:
    made = DatasetImage(Path(name), "ours", patient=name, labels={"Mass": 1}, view="PA")
    return replace(made, **fields)


def order(
    sources: str, epoch: int = 1, rank: int = 0, world: int = 1, **settings: Any
) -> list[int]:
    images = [image(str(n), source=source) for n, source in enumerate(sources)]
    made = EpochSampler(images, replace(TrainingSettings(), **settings), Distributed(rank, world))
    made.epoch = epoch
    keys = list(made)
    assert {key[0] for key in keys} == {epoch}
    assert len(keys) == len(made)
    return [index for _, index in keys]


def test_an_epoch_takes_every_image_once() -> None:
    assert sorted(order("a" * 50)) == list(range(50))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order("a" * 50, epoch=7, seed=3) == order("a" * 50, epoch=7, seed=3)
    assert order("a" * 50, epoch=8, seed=3) != order("a" * 50, epoch=7, seed=3)
    assert order("a" * 50, epoch=7, seed=4) != order("a" * 50, epoch=7, seed=3)


def test_an_epoch_is_the_same_whether_or_not_others_went_before() -> None:
    images = [image(str(n)) for n in range(50)]
    running = EpochSampler(images, TrainingSettings(), Distributed())
    for epoch in (1, 2, 3):
        running.epoch = epoch
        last = [index for _, index in running]
    assert last == order("a" * 50, epoch=3)


@given(images=st.integers(4, 60), world=st.integers(1, 4))
def test_processes_share_the_images_without_overlap_but_for_filling_up(
    images: int, world: int
) -> None:
    shares = [order("a" * images, rank=rank, world=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    counted = Counter(index for share in shares for index in share)
    assert counted.keys() == set(range(images))
    assert sum(counted.values()) - images == -images % world


def test_a_drawn_epoch_takes_equal_shares_of_the_data_sets() -> None:
    drawn = order("a" * 90 + "b" * 10, images_per_epoch=40)
    assert len(drawn) == len(set(drawn)) == 40
    assert sum(index >= 90 for index in drawn) == 10


SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 100), min_size=1)


@given(sizes=SIZES, total=st.integers(0, 400))
def test_equal_shares_are_as_equal_as_the_sizes_allow(sizes: dict[str, int], total: int) -> None:
    shares = samples_by_source(sizes, total, {})
    assert shares.keys() == sizes.keys()
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(shares[source] <= size for source, size in sizes.items())
    # who is not used up has at most one image less than anybody
    most = max(shares.values())
    assert all(shares[s] >= most - 1 for s, size in sizes.items() if shares[s] < size)


@given(sizes=SIZES, total=st.integers(0, 400), weight=st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_set_of_more_weight_gives_as_many_times_more_images(
    sizes: dict[str, int], total: int, weight: float
) -> None:
    heavy = min(sizes)
    shares = samples_by_source(sizes, total, {heavy: weight})
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(shares[source] <= size for source, size in sizes.items())
    for source in sizes:
        if source != heavy and all(shares[s] < sizes[s] for s in (heavy, source)):
            assert shares[heavy] == pytest.approx(weight * shares[source], abs=max(1, weight) + 1)


def test_images_that_are_left_out_are_not_drawn() -> None:
    drawn = EpochSampler([image(str(n)) for n in range(6)], TrainingSettings(), Distributed())
    drawn.excluded = frozenset({0, 5})
    assert sorted(index for _, index in drawn) == [1, 2, 3, 4]
    assert len(drawn) == 4


def test_a_weight_of_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights name b, and the data sets are a"):
        order("aa", sampling_weights={"b": 2.0})
