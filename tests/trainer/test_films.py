"""Which films are drawn, in which order, and how they are changed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors

from tests.films import drawn_film
from tests.trainer.drawn import RECIPE, drawn_set
from trainer.augment import augmentation, hide_edges
from trainer.films import (
    EpochOrder,
    FilmTensors,
    batches,
    check_readable,
    frontal_films,
    shares_of,
)
from trainer.places import USUALLY
from trainer.settings import Augmentation, Settings
from xemplar.datasets import Dataset, Film
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.findings import UncertainPolicy

# ---- Which films --------------------------------------------------------------------------------


def film(name: str, **fields: object) -> Film:
    made = Film(Path(name), "ours", patient=name, labels={"Mass": 1}, view="PA")
    return replace(made, **fields)


def dataset(*films: Film) -> Dataset:
    return Dataset("ours", Path(), films, ("Mass",), "")


BOTH = (film("t", split="train"), film("v", split="val"))


def test_only_frontal_films_with_a_known_label_are_learnt_from() -> None:
    splits = frontal_films(
        [
            dataset(
                *BOTH,
                film("lateral", split="train", view="LL"),
                film("nobody knows the view", split="train", view=None),
                film("unknown", split="train", labels={}),
                film("other", split="train", labels={"Hernia": 1}),
            )
        ],
        RECIPE,
    )
    assert splits == {"train": [BOTH[0]], "val": [BOTH[1]]}


def test_an_uncertain_label_counts_as_unknown_where_it_is_ignored() -> None:
    uncertain = film("u", split="train", labels={"Mass": -1})
    sets = [dataset(*BOTH, uncertain)]
    assert uncertain in frontal_films(sets, RECIPE)["train"]
    ignoring = replace(RECIPE, uncertain=UncertainPolicy.IGNORE)
    assert uncertain not in frontal_films(sets, ignoring)["train"]


def test_films_that_are_kept_apart_are_neither_trained_nor_validated_on() -> None:
    splits = frontal_films([dataset(*BOTH, film("b", split="box"))], RECIPE)
    assert splits["train"] + splits["val"] == list(BOTH)


@pytest.mark.parametrize(("missing", "kept"), [("train", BOTH[1]), ("val", BOTH[0])])
def test_a_split_without_films_is_refused_by_its_name(missing: str, kept: Film) -> None:
    with pytest.raises(DatasetError, match=f"no frontal film in the split '{missing}'.*Mass, Eff"):
        frontal_films([dataset(kept)], RECIPE)


def test_a_film_that_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"of ours names .*nowhere\.png, and there is no such"):
        check_readable([film(str(tmp_path / "nowhere.png")), film(str(tmp_path))])


# ---- In which order -----------------------------------------------------------------------------


def order(
    sources: str, epoch: int = 1, rank: int = 0, world: int = 1, **settings: Any
) -> list[int]:
    films = [film(str(n), source=source) for n, source in enumerate(sources)]
    made = EpochOrder(films, replace(Settings(), **settings), rank, world)
    made.epoch = epoch
    keys = list(made)
    assert {key[0] for key in keys} == {epoch}
    assert len(keys) == len(made)
    return [place for _, place in keys]


def test_an_epoch_takes_every_film_once() -> None:
    assert sorted(order("a" * 50)) == list(range(50))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order("a" * 50, epoch=7, seed=3) == order("a" * 50, epoch=7, seed=3)
    assert order("a" * 50, epoch=8, seed=3) != order("a" * 50, epoch=7, seed=3)
    assert order("a" * 50, epoch=7, seed=4) != order("a" * 50, epoch=7, seed=3)


def test_an_epoch_is_the_same_whether_or_not_others_went_before() -> None:
    films = [film(str(n)) for n in range(50)]
    running = EpochOrder(films, Settings(), 0, 1)
    for epoch in (1, 2, 3):
        running.epoch = epoch
        last = [place for _, place in running]
    assert last == order("a" * 50, epoch=3)


@given(films=st.integers(4, 60), world=st.integers(1, 4))
def test_processes_share_the_films_without_overlap_but_for_filling_up(
    films: int, world: int
) -> None:
    shares = [order("a" * films, rank=rank, world=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    counted = Counter(place for share in shares for place in share)
    assert counted.keys() == set(range(films))
    assert sum(counted.values()) - films == -films % world


def test_a_drawn_epoch_takes_equal_shares_of_the_data_sets() -> None:
    drawn = order("a" * 90 + "b" * 10, films_per_epoch=40)
    assert len(drawn) == len(set(drawn)) == 40
    assert sum(place >= 90 for place in drawn) == 10


SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 100), min_size=1)


@given(sizes=SIZES, total=st.integers(0, 400))
def test_equal_shares_are_as_equal_as_the_sizes_allow(sizes: dict[str, int], total: int) -> None:
    shares = shares_of(sizes, total, {})
    assert shares.keys() == sizes.keys()
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(shares[source] <= size for source, size in sizes.items())
    # who is not used up has at most one film less than anybody
    most = max(shares.values())
    assert all(shares[s] >= most - 1 for s, size in sizes.items() if shares[s] < size)


@given(sizes=SIZES, total=st.integers(0, 400), weight=st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_set_of_more_weight_gives_as_many_times_more_films(
    sizes: dict[str, int], total: int, weight: float
) -> None:
    heavy = min(sizes)
    shares = shares_of(sizes, total, {heavy: weight})
    assert sum(shares.values()) == min(total, sum(sizes.values()))
    assert all(shares[source] <= size for source, size in sizes.items())
    for source in sizes:
        if source != heavy and all(shares[s] < sizes[s] for s in (heavy, source)):
            assert shares[heavy] == pytest.approx(weight * shares[source], abs=max(1, weight) + 1)


def test_a_weight_of_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights name b, and the data sets are a"):
        order("aa", weights={"b": 2.0})


# ---- How they are changed -----------------------------------------------------------------------

STRONG = Augmentation(elastic_chance=1.0, blur_chance=1.0, brightness=0.9, contrast=0.9)


@pytest.mark.parametrize("changes", [Augmentation(), STRONG, Augmentation(*[0.0] * 11, crop=1.0)])
@pytest.mark.parametrize("size", [32, 96])
def test_an_augmented_film_keeps_its_shape_and_range(changes: Augmentation, size: int) -> None:
    augment = augmentation(changes, size)
    for seed in range(5):
        torch.manual_seed(seed)
        film, plans = tv_tensors.Image(torch.rand(1, size, size)), torch.rand(2, size, size)
        changed, moved = augment(film, tv_tensors.Mask(plans))
        assert moved.shape == plans.shape
        assert changed.shape == (1, size, size)
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_augmentation_without_strength_moves_next_to_nothing() -> None:
    film = torch.from_numpy(drawn_film(0, 64, 64).copy())[None].float() / 255
    torch.manual_seed(0)
    changed = augmentation(Augmentation(*[0.0] * 11, crop=1.0), 64)(film)
    # the crop may still choose another aspect ratio, from 0.9 to 1.1
    assert (changed - film).abs().mean() < 0.05


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Film]:
    return list(drawn_set(tmp_path_factory.mktemp("drawn") / "set", train=6, val=2).films)


def tensors(films: list[Film], **settings: int) -> FilmTensors:
    chosen = replace(RECIPE, augmentation=STRONG, **settings)
    return FilmTensors(films, chosen, augmented=True)


def test_a_film_becomes_grey_values_targets_and_a_mask(films: list[Film]) -> None:
    grey, target, known, where, taught = FilmTensors(films, RECIPE)[1, 3]  # has both findings
    assert grey.shape == (64, 64)
    assert grey[30, 30] == pytest.approx(250 / 255)
    assert (target.tolist(), known.tolist()) == ([1, 1], [1, 1])
    assert (where == 1).all()  # nothing is known of where: anywhere will do
    assert taught.tolist() == pytest.approx([USUALLY, USUALLY])


def test_augmentation_depends_on_seed_epoch_and_film_alone(films: list[Film]) -> None:
    one = tensors(films)[1, 2][0]
    torch.rand(7)  # whatever else draws random numbers
    torch.testing.assert_close(tensors(films)[1, 2][0], one, rtol=0, atol=0)
    assert not torch.equal(tensors(films)[2, 2][0], one)
    assert not torch.equal(tensors(films, seed=9)[1, 2][0], one)


def test_augmentation_leaves_the_random_numbers_of_others_alone(films: list[Film]) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    tensors(films)[1, 2]
    torch.testing.assert_close(torch.rand(3), wanted, rtol=0, atol=0)


def test_the_first_epochs_may_see_smaller_films(films: list[Film]) -> None:
    growing = replace(RECIPE, small_size=32, small_epochs=2)
    for augmented in (False, True):
        made = FilmTensors(films, growing, augmented=augmented)
        assert [made[epoch, 0][0].shape[-1] for epoch in (1, 2, 3)] == [32, 32, 64]


def test_workers_do_not_change_what_is_learnt_from(films: list[Film]) -> None:
    keys = [(1, place) for place in range(6)]
    read = [
        [lesson.grey for lesson in batches(tensors(films, batch=3, workers=workers), keys)]
        for workers in (0, 1)
    ]
    torch.testing.assert_close(*read, rtol=0, atol=0)


def test_covered_edges_leave_the_middle_and_the_original_as_they_are() -> None:
    film = torch.full((1, 80, 80), 0.5)
    torch.manual_seed(0)
    covered = [hide_edges(film) for _ in range(50)]
    assert (film == 0.5).all()
    for one in covered:
        assert one.shape == film.shape
        assert (one[:, 20:60, 20:60] == 0.5).all()
    changed = torch.stack([one != 0.5 for one in covered]).float().mean(dim=(0, 1))
    assert changed[0, 0] > 0.5  # a corner, in most films
    assert 0.05 < changed[0, 40] < 0.5  # the middle of a margin, in some
