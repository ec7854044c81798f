"""Overlays show heat where the map has it, and nowhere else."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.images import drawn_image
from xemplar.imaging.overlay import OPACITY, heat_colours, jpeg, overlay, shrink
from xemplar.imaging.preprocess import PreprocessSpec, onto_image

FITS = ("stretch", "pad")


def grey(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.full((height, width), 128, np.uint8)


def redness(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return picture[..., 0].astype(np.int64) - picture[..., 2]


@pytest.mark.parametrize(
    ("fit", "shape", "cell", "place"),
    [
        ("stretch", (210, 140), (1, 5), (1.5 / 7, 5.5 / 7)),
        ("stretch", (140, 210), (5, 1), (5.5 / 7, 1.5 / 7)),
        # an image of 2:1 lies in the middle half of the square input
        ("pad", (210, 105), (1, 3), (1.5 / 7, 0.5)),
        ("pad", (105, 210), (3, 5), (0.5, 5.5 / 7)),
    ],
)
def test_a_peak_is_reddest_at_its_position_on_the_image(
    fit: str, shape: tuple[int, int], cell: tuple[int, int], place: tuple[float, float]
) -> None:
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[cell] = 0.02
    red = redness(overlay(grey(*shape), heatmap, PreprocessSpec(224, fit)))  # type: ignore[arg-type]
    hottest = np.argwhere(red == red.max()).mean(axis=0)
    assert hottest == pytest.approx(np.array(place) * shape, abs=2)


@pytest.mark.parametrize("fit", FITS)
def test_far_from_the_peak_the_image_is_unchanged(fit: str) -> None:
    image = drawn_image(1, 140, 140)
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[1, 1] = 1
    picture = overlay(image, heatmap, PreprocessSpec(224, fit))  # type: ignore[arg-type]
    assert np.array_equal(picture[60:, 60:], np.repeat(image[60:, 60:, None], 3, axis=2))


@pytest.mark.parametrize("fit", FITS)
def test_a_map_of_zeros_leaves_the_image_unchanged(fit: str) -> None:
    image = drawn_image(2, 90, 70)
    picture = overlay(image, np.zeros((7, 7), np.float32), PreprocessSpec(224, fit))  # type: ignore[arg-type]
    assert np.array_equal(picture, np.repeat(image[..., None], 3, axis=2))


def test_the_overlay_is_relative_to_the_maps_own_maximum() -> None:
    heatmap = np.random.default_rng(0).random((7, 7), np.float32)
    weak, strong = (overlay(grey(70, 70), heatmap * s, PreprocessSpec()) for s in (1e-6, 1e3))
    assert np.abs(weak.astype(int) - strong).max() <= 1


def test_maps_on_one_scale_show_the_same_value_alike() -> None:
    low, high = np.zeros((7, 7), np.float32), np.zeros((7, 7), np.float32)
    low[3, 3], high[3, 3], high[0, 0] = 1, 1, 2
    spec, image = PreprocessSpec(64), grey(70, 70)
    centre = slice(32, 38)
    drawn = [overlay(image, one, spec, most=2)[centre, centre] for one in (low, high)]
    assert np.array_equal(*drawn)
    assert not np.array_equal(drawn[0], overlay(image, low, spec)[centre, centre])


def test_what_exceeds_the_scale_is_shown_as_its_top() -> None:
    heatmap = np.full((7, 7), 3, np.float32)
    shown = [overlay(grey(70, 70), heatmap, PreprocessSpec(), most=most) for most in (1, 3)]
    assert np.array_equal(*shown)


def test_opacity_increases_with_the_heatmap() -> None:
    heatmap = np.tile(np.linspace(0, 1, 7, dtype=np.float32), (7, 1))
    black, white = (overlay(grey(70, 140) * 0 + v, heatmap, PreprocessSpec()) for v in (0, 255))
    through = (white.astype(int) - black).mean(axis=(0, 2))
    assert through[0] == 255
    assert (np.diff(through) <= 0.5).all()  # rounding to whole grey values
    assert through[-1] == pytest.approx(0.4 * 255, abs=1)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(512, 512), (300, 211)])
def test_each_pixel_is_its_grey_and_its_colour_weighted_by_opacity(
    fit: str, shape: tuple[int, int]
) -> None:
    image, spec = drawn_image(4, *shape), PreprocessSpec(224, fit)  # type: ignore[arg-type]
    heatmap = np.random.default_rng(5).normal(size=(7, 7)).astype(np.float32)
    heat = onto_image(np.maximum(heatmap, 0) / heatmap.max(), spec, *shape)
    colours = heat_colours(heat)
    opacity = (OPACITY * heat.astype(np.float64))[..., None]
    exact = image[..., None] * (1 - opacity) + colours * opacity
    assert np.abs(overlay(image, heatmap, spec) - exact).max() <= 1


@pytest.mark.parametrize(
    ("shape", "side", "shown"),
    [
        ((90, 70), 512, (90, 70)),
        ((1000, 500), 512, (512, 256)),
        ((500, 1000), 100, (50, 100)),
        ((2000, 64), 64, (64, 2)),
    ],
)
def test_an_image_is_shrunk_to_the_side_and_never_enlarged(
    shape: tuple[int, int], side: int, shown: tuple[int, int]
) -> None:
    picture = overlay(grey(*shape), np.ones((7, 7), np.float32), PreprocessSpec(), side=side)
    assert (picture.shape, picture.dtype) == ((*shown, 3), np.uint8)
    assert shrink(grey(*shape), side).shape == shown


def test_a_jpeg_keeps_grey_grey_and_red_red() -> None:
    image = drawn_image(3)
    decoded = cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() < 3
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(jpeg(red), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    assert decoded.mean(axis=(0, 1)) == pytest.approx((200, 0, 0), abs=3)
