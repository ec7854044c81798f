"""What the ranking is compared with."""

from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.ranking.rankers import alike, demographics, thumbnails

from tests.images import drawn_image
from xemplar.data.datasets import DatasetImage


def person(view: str | None, sex: str | None, age: int | None) -> DatasetImage:
    return DatasetImage(Path("image.png"), "set", view=view, sex=sex, age=age)


def test_people_are_alike_by_view_sex_and_age() -> None:
    query = demographics([person("PA", "F", 60)])
    cases = demographics([person("PA", "F", 60), person("AP", "F", 40), person("AP", "M", 60)])
    # all three agree; sex and 1 - 20/100; age alone
    assert alike(query, cases)[0] == pytest.approx([1, (0 + 1 + 0.8) / 3, 1 / 3])


def test_what_is_unknown_is_not_alike() -> None:
    assert alike(demographics([person("PA", None, None)]), demographics([person("PA", "F", 9)]))[
        0
    ] == pytest.approx([1 / 3])


def test_a_paediatric_view_counts_by_its_first_letters() -> None:
    assert demographics([person("AP (paediatric)", None, None)])[0, 0] == 1


def test_the_inner_product_of_thumbnails_is_the_correlation_of_pixels() -> None:
    images = np.stack([drawn_image(seed, 64, 64) for seed in range(2)])
    small = thumbnails(images)
    pixels = images.reshape(2, 32, 2, 32, 2).mean(axis=(2, 4)).reshape(2, -1)
    assert small[0] @ small[1] == pytest.approx(np.corrcoef(pixels)[0, 1], abs=0.01)
    assert small[0] @ small[0] == pytest.approx(1)


def test_an_image_without_contrast_correlates_with_nothing() -> None:
    assert not thumbnails(np.full((1, 64, 64), 7, np.uint8)).any()
