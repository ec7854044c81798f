"""Before a search: films like the indexed ones pass, turned and inverted ones are named."""

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from xemplar.doorkeeper import FEWEST, MOST, Doorkeeper
from xemplar.phantom import phantom
from xemplar.preprocess import PreprocessSpec, preprocess
from xemplar.radiograph import decode

Inputs = npt.NDArray[np.uint8]


def films(first: int, count: int) -> Inputs:
    return np.stack([phantom(seed, size=64).pixels for seed in range(first, first + count)])


@pytest.fixture(scope="module")
def doorkeeper() -> Doorkeeper:
    made = Doorkeeper.of(films(0, 150))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def new() -> Inputs:
    return films(1000, 30)


def warnings_of(doorkeeper: Doorkeeper, inputs: Inputs) -> list[str]:
    return ["; ".join(doorkeeper.judge(np.ascontiguousarray(one)).warnings) for one in inputs]


def test_films_like_the_indexed_ones_pass(doorkeeper: Doorkeeper, new: Inputs) -> None:
    verdicts = [doorkeeper.judge(one) for one in new]
    assert sum(bool(verdict.warnings) for verdict in verdicts) <= 1
    assert not any(verdict.refused for verdict in verdicts)
    assert 0.3 < np.median([verdict.distance for verdict in verdicts]) < 3


@pytest.mark.parametrize(
    ("clockwise", "said"),
    [(1, "a quarter turn clockwise"), (2, "upside down"), (3, "a quarter turn anticlockwise")],
)
def test_a_turned_film_is_named(
    doorkeeper: Doorkeeper, new: Inputs, clockwise: int, said: str
) -> None:
    turned = np.rot90(new, -clockwise, axes=(1, 2))
    assert all(said in warning for warning in warnings_of(doorkeeper, turned))


def test_an_inverted_film_is_named_also_when_it_is_turned(
    doorkeeper: Doorkeeper, new: Inputs
) -> None:
    assert all("inverted" in warning for warning in warnings_of(doorkeeper, 255 - new))
    both = np.rot90(255 - new, 2, axes=(1, 2))
    named = [w for w in warnings_of(doorkeeper, both) if "inverted" in w and "upside down" in w]
    assert len(named) == len(new)


def test_exposure_and_contrast_do_not_matter(doorkeeper: Doorkeeper, new: Inputs) -> None:
    pale = (new * 0.5 + 60).astype(np.uint8)
    for film, paler in zip(new, pale, strict=True):
        before, after = doorkeeper.judge(film), doorkeeper.judge(paler)
        assert after.distance == pytest.approx(before.distance, rel=0.1)


def hand() -> Inputs:
    """A palm with five bright fingers on black, as a film of a hand has them."""
    picture = np.zeros((64, 64), np.uint8)
    cv2.ellipse(picture, (32, 46), (13, 12), 0, 0, 360, 150, -1)
    for tip in ((10, 30), (20, 8), (29, 4), (38, 6), (47, 14)):
        cv2.line(picture, (32, 46), tip, 190, 5)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def page() -> Inputs:
    picture = np.full((64, 64), 255, np.uint8)
    picture[8:56:6, 6:58] = 20
    return picture


@pytest.mark.parametrize("picture", [hand(), page()], ids=["hand", "page"])
def test_what_is_no_chest_is_refused_with_the_reason(
    doorkeeper: Doorkeeper, picture: Inputs
) -> None:
    verdict = doorkeeper.judge(picture)
    assert verdict.refused
    assert "times as far from the indexed films as usual ones" in verdict.warnings[0]


def test_noise_is_refused_or_called_unlike(doorkeeper: Doorkeeper) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    assert doorkeeper.judge(noise).warnings


def test_too_few_films_make_no_doorkeeper() -> None:
    assert Doorkeeper.of(films(0, 20)[[0] * (FEWEST - 1)]) is None


def test_an_index_of_one_film_over_and_over_judges_without_dividing_by_zero() -> None:
    same = Doorkeeper.of(films(0, 1)[[0] * FEWEST])
    assert same is not None
    assert np.isfinite(same.judge(films(7, 1)[0]).distance)


def test_a_black_film_is_judged(doorkeeper: Doorkeeper) -> None:
    assert np.isfinite(doorkeeper.judge(np.zeros((64, 64), np.uint8)).distance)


def test_real_films_pass_and_are_told_from_turned_and_inverted_ones(real_data: Path) -> None:
    root, spec = real_data / "nih14", PreprocessSpec(size=64)
    with (root / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))

    def inputs(splits: set[str], count: int) -> Inputs:
        names = [row["file"] for row in rows if row["split"] in splits][:count]
        return np.stack([preprocess(decode((root / n).read_bytes()), spec) for n in names])

    doorkeeper = Doorkeeper.of(inputs({"train"}, MOST))
    assert doorkeeper is not None
    unseen = inputs({"val", "test"}, 200)

    def share(films: Inputs, word: str) -> float:
        return float(np.mean([word in warning for warning in warnings_of(doorkeeper, films)]))

    assert np.mean([bool(w) for w in warnings_of(doorkeeper, unseen)]) < 0.02
    assert share(255 - unseen, "inverted") > 0.98
    assert share(np.rot90(unseen, 2, axes=(1, 2)), "upside down") > 0.98
