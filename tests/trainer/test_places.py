"""Where findings lie on training films: boxes, else where boxes usually are."""

from pathlib import Path

import numpy as np
import pytest
from xemplar_trainer.films import FilmTensors, frontal_films
from xemplar_trainer.places import SIDE, Places, onto_input, places_of

from tests.trainer.drawn import FINDINGS, RECIPE, drawn_set
from xemplar.boxes import Box
from xemplar.datasets import Dataset
from xemplar.errors import ConfigurationError
from xemplar.preprocess import PreprocessSpec, frame

MASS = Box("Mass", "Mass", 0.25, 0.25, 0.5, 0.5)


def test_a_film_with_a_box_has_it_for_its_finding_and_the_usual_place_for_others() -> None:
    places = Places({3: (MASS,)}, ("Effusion", "Mass"))
    plans, which = places.of(3)
    assert which.tolist() == [0, 1]
    assert np.array_equal(plans[0], places.usual)
    assert plans[1].sum() == (SIDE / 4) ** 2
    assert plans[1][SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2].all()


def test_several_boxes_of_a_finding_are_one_place() -> None:
    other = Box("Mass", "Mass", 0.75, 0.75, 1.0, 1.0)
    plans, _ = Places({0: (MASS, other)}, ("Mass",)).of(0)
    assert plans[1].sum() == 2 * (SIDE / 4) ** 2


def test_an_opacity_under_another_name_has_the_same_place() -> None:
    box = Box("Lung Opacity", "Pneumonia", 0.5, 0.5, 0.75, 0.75)
    plans, which = Places({0: (box,)}, ("Infiltration", "Mass", "Pneumonia")).of(0)
    assert [bool(n) for n in which] == [True, False, True]
    assert np.array_equal(plans[which[0]], plans[which[2]])


def test_the_usual_place_is_where_boxes_lie_on_either_side() -> None:
    usual = Places({0: (MASS,)}, ("Mass",)).usual
    assert np.allclose(usual, usual[:, ::-1])
    assert usual[3 * SIDE // 8, 3 * SIDE // 8] == usual.max() == 1
    assert usual[0, 0] < 0.01


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = drawn_set(tmp_path / "set")
    rows = ["file,label,x,y,w,h,provenance", "images/1.png,Mass,20,20,24,20,me"]
    (made.root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return made


def test_boxes_are_read_from_the_folder_of_the_data_set_and_move_with_the_film(
    dataset: Dataset,
) -> None:
    films = frontal_films([dataset], RECIPE)["train"]
    places = places_of([dataset], films, FINDINGS)
    still = FilmTensors(films, RECIPE, places=places)[1, 1]
    assert still.where.shape == (2, 2, 2)
    assert still.due.tolist() == [1.0, 0.0]
    # the white block is the mass: where the film is white, its plan is 1
    moved = FilmTensors(films, RECIPE, places=places, augmented=True)
    assert any(not np.allclose(moved[epoch, 1].where, still.where) for epoch in (1, 2, 3))


def test_the_plan_of_a_padded_film_lies_where_the_film_lies() -> None:
    spec = PreprocessSpec(size=64, fit="pad")
    plan = onto_input(np.ones((1, SIDE, SIDE), np.float32), frame(spec, 100, 50), 64)[0]
    assert plan[:, 16:48].all()
    assert plan[:, :16].sum() == plan[:, 48:].sum() == 0


def test_boxes_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    bare = drawn_set(tmp_path / "bare")
    films = frontal_films([bare], RECIPE)["train"]
    with pytest.raises(ConfigurationError, match="no training film has a box"):
        places_of([bare], films, FINDINGS)
