"""The figures of localisation, worked out by hand, and what holds for all of them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from xemplar_evaluator.localisation.metrics import (
    overlaps,
    pointing_game,
    relevance_mass,
    relevance_rank,
)

from xemplar.errors import InvalidArgument

Metric = Callable[[npt.NDArray[np.floating], npt.NDArray[np.bool_]], float]
METRICS = [pointing_game, relevance_mass, relevance_rank]

HEATMAP = np.array([[0, 0, 0, 0], [0, 4, 2, 0], [0, 2, 1, 0], [0, 0, 0, 1]], np.float32)
MASK = np.zeros((4, 4), np.bool_)
MASK[1, 1] = MASK[2, 1] = MASK[2, 2] = True  # where the map is 4, 2 and 1


def test_pointing_game_by_hand() -> None:
    # the only maximum, 4, lies in the mask
    assert pointing_game(HEATMAP, MASK) == 1
    assert pointing_game(HEATMAP, ~MASK) == 0


def test_relevance_mass_by_hand() -> None:
    # inside 4 + 2 + 1 = 7; everywhere 4 + 2 + 2 + 1 + 1 = 10
    assert relevance_mass(HEATMAP, MASK) == pytest.approx(0.7)


def test_relevance_rank_by_hand() -> None:
    # K = 3; the three highest are 4, 2, 2, of which the 4 and one 2 lie in the mask
    assert relevance_rank(HEATMAP, MASK) == pytest.approx(2 / 3)


def test_overlaps_by_hand() -> None:
    iou, dice = overlaps(HEATMAP, MASK, (0.25, 0.5, 1.0))
    # >= 1: 5 pixels, 3 inside, union 5. >= 2: 3 pixels, 2 inside, union 4. >= 4: 1, 1, union 3
    np.testing.assert_allclose(iou, [3 / 5, 2 / 4, 1 / 3])
    # 2 * 3 / (5 + 3), 2 * 2 / (3 + 3), 2 * 1 / (1 + 3)
    np.testing.assert_allclose(dice, [6 / 8, 4 / 6, 2 / 4])


def test_of_two_equal_maxima_with_one_in_the_mask_half_is_a_hit() -> None:
    assert pointing_game(np.array([[5.0, 5.0, 1.0]]), np.array([[True, False, False]])) == 0.5


def test_last_digits_of_float32_do_not_break_a_tie() -> None:
    heatmap = np.array([[1, np.nextafter(np.float32(1), np.float32(0)), 0]], np.float32)
    assert pointing_game(heatmap, np.array([[False, True, True]])) == 0.5


def test_rank_draws_what_ties_at_the_last_place() -> None:
    # K = 2: the 3 is in, outside the mask; one of three 1s is drawn, two of which lie in the mask:
    # 2/3 of a pixel expected, of 2
    heatmap = np.array([[3, 1], [1, 1]], np.float32)
    assert relevance_rank(heatmap, np.array([[False, True], [True, False]])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("height", [0, 1e-30, 7])
def test_a_constant_map_scores_the_share_of_the_image_that_the_mask_covers(height: float) -> None:
    heatmap = np.full((4, 4), height, np.float32)
    for metric in METRICS:
        assert metric(heatmap, MASK) == pytest.approx(3 / 16)
    iou, dice = overlaps(heatmap, MASK, (0.05, 0.95))
    np.testing.assert_allclose(iou, 3 / 16)
    np.testing.assert_allclose(dice, 6 / 19)


MAPS = arrays(np.float32, (5, 6), elements=st.floats(0, 1000, width=32))
MASKS = arrays(np.bool_, (5, 6)).filter(np.any)


@given(heatmap=MAPS, mask=MASKS)
def test_every_figure_lies_in_0_to_1_and_ignores_the_scale(
    heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> None:
    for metric in METRICS:
        value = metric(heatmap, mask)
        assert 0 <= value <= 1 + 1e-12
        assert metric(heatmap.astype(np.float64) * 1024, mask) == pytest.approx(value)


@given(heatmap=MAPS, mask=MASKS)
def test_the_whole_image_holds_everything(
    heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> None:
    for metric in METRICS:
        assert metric(heatmap, np.ones_like(mask)) == pytest.approx(1)


@given(heatmap=MAPS, mask=MASKS.filter(lambda mask: not mask.all()))
def test_mask_and_rest_share_hits_and_mass_between_them(
    heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> None:
    for metric in (pointing_game, relevance_mass):
        assert metric(heatmap, mask) + metric(heatmap, ~mask) == pytest.approx(1)


@given(mask=MASKS)
def test_a_map_that_is_the_mask_is_perfect(mask: npt.NDArray[np.bool_]) -> None:
    for metric in METRICS:
        assert metric(mask.astype(np.float32), mask) == 1
    iou, dice = overlaps(mask.astype(np.float32), mask, (0.05, 1.0))
    assert iou.tolist() == dice.tolist() == [1, 1]


@given(heatmap=MAPS, mask=MASKS)
def test_overlaps_are_those_of_each_threshold_alone(
    heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> None:
    grid = (0.1, 0.5, 0.9)
    iou, dice = overlaps(heatmap, mask, grid)
    peak = np.float64(heatmap.max())
    for t, value in zip(grid, iou, strict=True):
        high = np.round(heatmap / peak, 6) >= t if peak > 0 else np.ones_like(mask)
        assert value == pytest.approx((high & mask).sum() / (high | mask).sum())
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))


@pytest.mark.parametrize(
    ("heatmap", "mask", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2), np.bool_), "do not fit"),
        (np.ones(3), np.ones(3, np.bool_), "do not fit"),
        (np.ones((2, 2)), np.ones((2, 2)), "do not fit"),
        (np.ones((2, 2)), np.zeros((2, 2), np.bool_), "the mask is empty"),
        (np.array([[1.0, -1.0]]), np.ones((1, 2), np.bool_), "nowhere below 0"),
        (np.array([[1.0, np.nan]]), np.ones((1, 2), np.bool_), "must be finite"),
        (np.array([[1.0, np.inf]]), np.ones((1, 2), np.bool_), "must be finite"),
    ],
)
@pytest.mark.parametrize("metric", [*METRICS, lambda h, m: overlaps(h, m, (0.5,))])
def test_maps_and_masks_that_cannot_be_compared_are_refused(
    metric: Metric, heatmap: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        metric(heatmap, mask)


@pytest.mark.parametrize("grid", [(0.0, 0.5), (0.5, 0.5), (0.6, 0.5), (0.5, 1.01)])
def test_thresholds_ascend_within_0_and_1(grid: tuple[float, ...]) -> None:
    with pytest.raises(InvalidArgument, match="do not ascend"):
        overlaps(HEATMAP, MASK, grid)
