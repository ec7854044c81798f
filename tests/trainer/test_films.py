"""Which films are drawn, in which order, and how they are changed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from xemplar_trainer.augment import augment, hide_edges
from xemplar_trainer.films import (
    EpochOrder,
    FilmTensors,
    batches,
    check_readable,
    frontal_films,
    shares_of,
)
from xemplar_trainer.places import USUALLY
from xemplar_trainer.settings import Augmentation, Settings

from tests.films import drawn_film
from tests.trainer.drawn import RECIPE, drawn_set
from xemplar.datasets import Dataset, Film
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.findings import UncertainPolicy
from xemplar.splits import PatientSplit

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


def test_patients_without_a_split_are_split_apart_from_the_seed_of_the_training() -> None:
    many = dataset(*(film(str(n)) for n in range(200)))
    splits, other = (frontal_films([many], replace(RECIPE, seed=seed)) for seed in (0, 1))
    assert splits == other
    rule = PatientSplit(seed=1, val=0.3)
    apart = frontal_films([many], replace(RECIPE, split=rule))
    assert apart["val"] == [film for film in many.films if rule.of(film) == "val"]
    assert apart != splits


def test_a_patient_who_is_trained_and_validated_on_is_refused() -> None:
    twice = film("another", patient=BOTH[0].patient, split="val")
    with pytest.raises(DatasetError, match="1 patients of ours are in train and in val too"):
        frontal_films([dataset(*BOTH, twice)], RECIPE)


def test_equal_ids_in_two_data_sets_are_two_patients() -> None:
    theirs = film("another", patient=BOTH[0].patient, split="val", source="theirs")
    both = [dataset(*BOTH), replace(dataset(theirs), name="theirs")]
    assert theirs in frontal_films(both, RECIPE)["val"]
    with pytest.raises(DatasetError, match="share a name: ours, ours"):
        frontal_films([dataset(*BOTH), dataset(*BOTH)], RECIPE)


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


def test_films_that_are_left_out_are_not_drawn() -> None:
    drawn = EpochOrder([film(str(n)) for n in range(6)], Settings(), 0, 1)
    drawn.without = frozenset({0, 5})
    assert sorted(place for _, place in drawn) == [1, 2, 3, 4]
    assert len(drawn) == 4


def test_a_weight_of_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights name b, and the data sets are a"):
        order("aa", weights={"b": 2.0})


# ---- How they are changed -----------------------------------------------------------------------

STRONG = Augmentation(elastic_chance=1.0, blur_chance=1.0, brightness=0.9, contrast=0.9)
STILL = Augmentation(*[0.0] * 11, crop=1.0)


@pytest.mark.parametrize("changes", [Augmentation(), STRONG, STILL, replace(STRONG, hide=1.0)])
@pytest.mark.parametrize("size", [32, 96])
def test_an_augmented_film_keeps_its_shape_and_range(changes: Augmentation, size: int) -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        film = generator.random((size, size), np.float32)
        plans = generator.random((2, 24, 24), np.float32)
        changed, moved = augment(film, plans, changes, generator)
        assert (changed.shape, moved.shape) == (film.shape, plans.shape)
        assert changed.dtype == moved.dtype == np.float32
        assert 0 <= min(changed.min(), moved.min()) <= max(changed.max(), moved.max()) <= 1


def test_augmentation_without_strength_changes_nothing() -> None:
    film = drawn_film(0, 64, 64).astype(np.float32) / 255
    changed, plans = augment(film, film[None], STILL, np.random.default_rng(0))
    np.testing.assert_allclose(changed, film, atol=1e-5)
    np.testing.assert_allclose(plans[0], film, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        replace(STILL, flip=1.0),
        replace(STILL, rotation=20.0, translation=0.1, scale=0.2, shear=10.0),
        replace(STILL, crop=0.5),
        replace(STILL, elastic=60.0, elastic_chance=1.0),
    ],
)
def test_a_plan_moves_as_its_film_does(changes: Augmentation) -> None:
    """A white block and its plan, of half the resolution, stay on each other."""
    film = np.zeros((128, 128), np.float32)
    film[30:60, 70:100] = 1
    plan = film[::2, ::2].copy()
    for seed in range(5):
        changed, moved = augment(film, plan[None], changes, np.random.default_rng(seed))
        assert not np.allclose(changed, film, atol=0.1)
        overlap = np.minimum(changed[::2, ::2], moved[0]).sum()
        assert overlap > 0.85 * max(changed[::2, ::2].sum(), moved.sum())


def test_an_elastic_change_is_as_strong_at_every_size() -> None:
    """Displacements are the same share of the film, whatever its pixels: seen on a grey ramp."""
    bent = replace(STILL, elastic=60.0, elastic_chance=1.0)
    spread = []
    for size in (64, 128, 256):
        ramp = np.tile(np.linspace(0, 1, size, dtype=np.float32), (size, 1))
        inner = slice(size // 4, -size // 4)
        shifts = [
            (augment(ramp, ramp[None], bent, np.random.default_rng(seed))[0] - ramp)[inner, inner]
            for seed in range(5)
        ]
        spread.append(float(np.std(shifts)))
    assert max(spread) < 1.3 * min(spread)
    assert min(spread) > 0.003


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Film]:
    return list(drawn_set(tmp_path_factory.mktemp("drawn") / "set", train=6, val=2).films)


def tensors(films: list[Film], **settings: int) -> FilmTensors:
    chosen = replace(RECIPE, augmentation=STRONG, **settings)
    return FilmTensors(films, chosen, augmented=True)


def test_a_film_becomes_grey_values_targets_and_a_mask(films: list[Film]) -> None:
    grey, target, known, where, due = FilmTensors(films, RECIPE)[1, 3]  # has both findings
    assert grey.shape == (64, 64)
    assert grey[30, 30] == pytest.approx(250 / 255)
    assert (target.tolist(), known.tolist()) == ([1, 1], [1, 1])
    assert (where == 1).all()  # nothing is known of where: anywhere will do
    assert due.tolist() == pytest.approx([USUALLY, USUALLY])


def test_augmentation_depends_on_seed_epoch_and_film_alone(films: list[Film]) -> None:
    one = tensors(films)[1, 2][0]
    torch.rand(7)  # whatever else draws random numbers
    torch.testing.assert_close(tensors(films)[1, 2][0], one, rtol=0, atol=0)
    assert not torch.equal(tensors(films)[2, 2][0], one)
    assert not torch.equal(tensors(films, seed=9)[1, 2][0], one)


def test_soft_labels_have_their_share_in_the_target_and_none_in_what_is_due(
    films: list[Film],
) -> None:
    half = replace(RECIPE, teacher="efficientnet-lite2", crossfit=5, soft=0.5)
    said = np.full((len(films), 2), 0.2, np.float32)
    lesson = FilmTensors(films, half, soft=said)[1, 3]
    assert lesson.target.tolist() == pytest.approx([0.6, 0.6])
    assert lesson.due.tolist() == pytest.approx([USUALLY, USUALLY])


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
    film = np.full((80, 80), 0.5, np.float32)
    generator = np.random.default_rng(0)
    covered = [hide_edges(film, generator) for _ in range(50)]
    assert (film == 0.5).all()
    for one in covered:
        assert one.shape == film.shape
        assert (one[20:60, 20:60] == 0.5).all()
    changed = np.mean([one != 0.5 for one in covered], axis=0)
    assert changed[0, 0] > 0.5  # a corner, in most films
    assert 0.05 < changed[0, 40] < 0.5  # the middle of a margin, in some
