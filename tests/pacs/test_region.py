"""The box encloses where a map is at least half as high as at its maximum."""

import numpy as np
import pytest
from xemplar_pacs.results.region import SIDE, HeatBox, heat_box

from xemplar.imaging.preprocess import PreprocessSpec

STRETCH, PAD = PreprocessSpec(224), PreprocessSpec(224, "pad")


def spot(row: int, column: int, value: float = 1.0) -> np.ndarray:
    """A map of 7 x 7 cells with one value."""
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[row, column] = value
    return heatmap


def test_encloses_half_a_cell_around_a_single_cell() -> None:
    # interpolated linearly between the cells' centres, half the value lies half a cell away
    box = heat_box(spot(2, 4), STRETCH, 700, 700)
    expected = (4 / 7, 2 / 7, 5 / 7, 3 / 7)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(expected, abs=1.5 / SIDE)


def test_ignores_a_lower_region_elsewhere() -> None:
    alone = heat_box(spot(1, 1), STRETCH, 700, 700)
    assert heat_box(spot(1, 1) + spot(5, 5, 0.9), STRETCH, 700, 700) == alone


def test_follows_the_padding_of_an_image_that_is_higher_than_wide() -> None:
    box = heat_box(spot(3, 3), PAD, 800, 400)  # the image covers the middle half of the input
    assert (box.left, box.right) == pytest.approx((5 / 14, 9 / 14), abs=1.5 / SIDE * 2)
    assert (box.top, box.bottom) == pytest.approx((3 / 7, 4 / 7), abs=1.5 / SIDE)


def test_of_a_map_without_heat_is_none() -> None:
    assert heat_box(np.zeros((7, 7), np.float32), STRETCH, 100, 100) is None


def test_stays_on_the_image() -> None:
    box = heat_box(np.ones((7, 7), np.float32), STRETCH, 3000, 2000)
    assert box == HeatBox(0, 0, 1, 1)
    assert box.corners(3000, 2000) == [(0, 0), (2000, 0), (2000, 3000), (0, 3000), (0, 0)]
