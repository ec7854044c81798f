"""Named recipes, and what the command line changes of them."""

import pytest
from xemplar_trainer.recipes import RECIPES, recipe
from xemplar_trainer.settings import Augmentation, TrainingSettings

from xemplar.errors import ConfigurationError


def test_the_posters_recipe_is_that_of_the_defaults() -> None:
    assert recipe("poster") == TrainingSettings()


def test_what_is_not_given_stays_the_recipes() -> None:
    guided = recipe("guided", epochs=90, threads=None)
    assert (guided.epochs, guided.threads) == (90, 0)
    assert guided.teacher == RECIPES["guided"].teacher
    assert guided.augmentation == Augmentation(crop=0.7, erasing_chance=0.6)


def test_a_change_of_the_images_leaves_their_other_changes() -> None:
    assert recipe("guided", flip=0.0).augmentation == Augmentation(
        crop=0.7, erasing_chance=0.6, flip=0.0
    )


def test_an_unknown_recipe_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="'sgd' is none of poster, guided"):
        recipe("sgd")
