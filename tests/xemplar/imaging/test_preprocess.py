"""Image -> network input, and heatmaps back onto the image."""

import json
from dataclasses import asdict, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.images import drawn_image
from xemplar.errors import CorruptArtefact
from xemplar.imaging import Radiograph
from xemplar.imaging.preprocess import (
    InputRegion,
    PreprocessSpec,
    covered,
    input_region,
    onto_image,
    preprocess,
)

PAD = PreprocessSpec(fit="pad")


def image(pixels: npt.NDArray[np.uint8]) -> Radiograph:
    return Radiograph(pixels, (pixels.shape[0], pixels.shape[1]), "0" * 64, "PNG")


# ---- The spec -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [PreprocessSpec(), PAD, PreprocessSpec(64, mean=(0.5, 0.5, 0.4))])
def test_a_spec_survives_a_round_trip_through_json(spec: PreprocessSpec) -> None:
    assert PreprocessSpec.from_dict(json.loads(json.dumps(asdict(spec)))) == spec


def test_specs_that_make_another_input_have_another_digest() -> None:
    spec = PreprocessSpec()
    others = [
        replace(spec, size=256), replace(spec, fit="pad"), replace(spec, mean=(0.5, 0.456, 0.406)),
        replace(spec, std=(0.5, 0.224, 0.225)),
    ]  # fmt: skip
    assert len({s.digest for s in (spec, *others)}) == 5
    assert PreprocessSpec().digest == spec.digest


@pytest.mark.parametrize(("size", "fit"), [(0, "pad"), (-32, "pad"), (225, "pad"), (224, "crop")])
def test_an_impossible_spec_is_rejected(size: int, fit: Any) -> None:
    with pytest.raises(CorruptArtefact, match=f"size {size} and fit '{fit}'"):
        PreprocessSpec(size, fit)


GOOD = {"size": 224, "fit": "pad", "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**GOOD, "mean": [0, 0]},
        {**GOOD, "std": "abc"},
        {**GOOD, "gamma": 2},
        {**GOOD, "size": "wide"},
        {**GOOD, "size": None},
        {key: GOOD[key] for key in ("size", "mean", "std")},
    ],
    ids=["empty", "two channels", "letters", "unknown field", "words", "null", "a field less"],
)
def test_a_spec_with_other_fields_is_rejected(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptArtefact, match="preprocessing spec cannot be read"):
        PreprocessSpec.from_dict(fields)


# ---- Into the input -----------------------------------------------------------------------------


def test_stretching_fills_the_square() -> None:
    assert input_region(PreprocessSpec(), 1000, 400) == InputRegion(0, 0, 224, 224)


@pytest.mark.parametrize(
    ("height", "width", "region"),
    [
        (
            448,
            224,
            InputRegion(56, 0, 112, 224),
        ),  # half as wide as high: 112 wide, 56 on either side
        (224, 448, InputRegion(0, 56, 224, 112)),
        (100, 100, InputRegion(0, 0, 224, 224)),
        (224, 222, InputRegion(1, 0, 222, 224)),
        (64, 1_000_000, InputRegion(0, 111, 224, 1)),  # never thinner than a pixel
    ],
)
def test_padding_keeps_the_aspect_ratio_and_centres_the_image(
    height: int, width: int, region: InputRegion
) -> None:
    assert input_region(PAD, height, width) == region


def test_padding_is_black_and_the_image_fills_its_region() -> None:
    pixels = preprocess(image(np.full((448, 224), 200, np.uint8)), PAD)
    assert pixels.shape == (224, 224)
    assert pixels.dtype == np.uint8
    assert (pixels[:, 56:168] == 200).all()
    assert (pixels[:, :56] == 0).all()
    assert (pixels[:, 168:] == 0).all()


def test_an_image_of_the_right_size_is_the_input_itself() -> None:
    pixels = drawn_image(0, 224, 224)
    np.testing.assert_array_equal(preprocess(image(pixels), PreprocessSpec()), pixels)


def test_shrinking_averages_areas() -> None:
    # a chequerboard of single pixels, halved: every 2 x 2 block averages to 127.5
    board = (np.indices((448, 448)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert set(np.unique(preprocess(image(board), PreprocessSpec()))) <= {127, 128}


@pytest.mark.parametrize("shape", [(1792, 112), (112, 1792)])
def test_each_axis_is_shrunk_by_averaging_even_where_the_other_is_enlarged(
    shape: tuple[int, int],
) -> None:
    # one white line in eight, along the axis that shrinks eight times: 255 / 8 everywhere
    long = int(np.argmax(shape))
    lines = ((np.indices(shape)[long] % 8 == 0) * 255).astype(np.uint8)
    assert set(np.unique(preprocess(image(lines), PreprocessSpec()))) == {32}


@given(
    height=st.integers(64, 400),
    width=st.integers(64, 400),
    fit=st.sampled_from(["stretch", "pad"]),
    grey=st.integers(0, 255),
)
def test_a_constant_image_stays_constant(height: int, width: int, fit: Any, grey: int) -> None:
    spec = PreprocessSpec(64, fit)
    region = input_region(spec, height, width)
    pixels = preprocess(image(np.full((height, width), grey, np.uint8)), spec)
    inner = pixels[
        int(region.y) : int(region.y + region.height), int(region.x) : int(region.x + region.width)
    ]
    assert (inner == grey).all()
    assert int(pixels.sum()) == int(inner.sum())


# ---- Back onto the image -------------------------------------------------------------------------

SIZES = st.integers(64, 500)
FITS = st.sampled_from(["stretch", "pad"])


def places(spec: PreprocessSpec, height: int, width: int) -> tuple[npt.NDArray[Any], ...]:
    """Grid coordinates (row, column; cell centres at integers) of the image's pixel centres."""
    region, cells = input_region(spec, height, width), spec.size // 32
    y = ((np.arange(height) + 0.5) * region.height / height + region.y) * cells / spec.size - 0.5
    x = ((np.arange(width) + 0.5) * region.width / width + region.x) * cells / spec.size - 0.5
    return np.meshgrid(y, x, indexing="ij")


def test_one_pixel_worked_out_by_hand() -> None:
    # An image 448 high and 224 wide, padded: it lies at x = 56 .. 168 of the input, at half its
    # size. Its pixel (111, 55) has its centre at (111.5, 55.5), so at y = 55.75, x = 83.75 of the
    # input. Cells are 32 wide and the first one's centre lies at 16: row (55.75 - 16) / 32 =
    # 1.2421875, column (83.75 - 16) / 32 = 2.1171875. Rows 1 and 2 hold 10 and 20, plus 100 in
    # column 3.
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[1], heatmap[2] = 10, 20
    heatmap[:, 3] += 100
    mapped = onto_image(heatmap, PAD, 448, 224)
    assert mapped[111, 55] == pytest.approx(10 + 0.2421875 * 10 + 0.1171875 * 100, abs=1e-4)


@given(height=SIZES, width=SIZES, fit=FITS, down=st.floats(-5, 5), across=st.floats(-5, 5))
def test_a_ramp_is_mapped_exactly_inside_the_outermost_centres(
    height: int, width: int, fit: Any, down: float, across: float
) -> None:
    spec = PreprocessSpec(224, fit)
    rows, columns = np.indices((7, 7), dtype=np.float32)
    mapped = onto_image(down * rows + across * columns, spec, height, width)
    row, column = places(spec, height, width)
    inside = (row >= 0) & (row <= 6) & (column >= 0) & (column <= 6)
    wanted = down * row + across * column
    np.testing.assert_allclose(mapped[inside], wanted[inside], atol=2e-4)


@given(height=SIZES, width=SIZES, fit=FITS, row=st.integers(1, 5), column=st.integers(1, 5))
def test_a_peak_returns_to_its_position(
    height: int, width: int, fit: Any, row: int, column: int
) -> None:
    # what lies at the centre of a cell of the input comes back to that cell, to half an image pixel
    # (in each axis) of where the frame says it was
    spec = PreprocessSpec(224, fit)
    region = input_region(spec, height, width)
    y = ((row + 0.5) * 32 - region.y) * height / region.height
    x = ((column + 0.5) * 32 - region.x) * width / region.width
    assume(1 <= y < height - 1 and 1 <= x < width - 1)
    heatmap = np.zeros((7, 7), np.float32)
    heatmap[row, column] = 1
    mapped = onto_image(heatmap, spec, height, width)
    peak_y, peak_x = np.unravel_index(np.argmax(mapped), mapped.shape)
    assert abs(peak_y + 0.5 - y) <= 0.501
    assert abs(peak_x + 0.5 - x) <= 0.501


@given(height=SIZES, width=SIZES, fit=FITS, value=st.floats(-9, 9, width=32))
def test_a_constant_map_stays_constant(height: int, width: int, fit: Any, value: float) -> None:
    mapped = onto_image(np.full((7, 7), value, np.float32), PreprocessSpec(224, fit), height, width)
    assert mapped.shape == (height, width)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, value, atol=1e-5)


@given(height=SIZES, width=SIZES, fit=FITS, seed=st.integers(0, 2**32 - 1))
def test_the_range_is_kept(height: int, width: int, fit: Any, seed: int) -> None:
    heatmap = np.random.default_rng(seed).normal(size=(7, 7)).astype(np.float32)
    mapped = onto_image(heatmap, PreprocessSpec(224, fit), height, width)
    assert heatmap.min() - 1e-5 <= mapped.min()
    assert mapped.max() <= heatmap.max() + 1e-5


def test_beyond_the_outermost_centres_the_edge_value_is_used() -> None:
    # 224 image pixels stretched on 7 cells of 32: the first 16 lie before the first centre
    heatmap = np.arange(49, dtype=np.float32).reshape(7, 7)
    mapped = onto_image(heatmap, PreprocessSpec(), 224, 224)
    assert (mapped[:16, :16] == 0).all()
    assert (mapped[-16:, -16:] == 48).all()


@pytest.mark.parametrize(("height", "width"), [(2000, 1500), (300, 900)])
@pytest.mark.parametrize("spec", [PreprocessSpec(), PAD], ids=["stretch", "pad"])
def test_mapping_back_is_the_inverse_of_preprocessing(
    spec: PreprocessSpec, height: int, width: int
) -> None:
    # A bright disc on an image, averaged over the cells of its input, comes back onto the disc.
    pixels = np.zeros((height, width), np.uint8)
    y, x = int(height * 0.3), int(width * 0.6)
    cv2.circle(pixels, (x, y), min(height, width) // 12, 255, -1)
    inputs = preprocess(image(pixels), spec).astype(np.float32)
    grid = inputs.reshape(7, 32, 7, 32).mean(axis=(1, 3))
    mapped = onto_image(grid, spec, height, width)
    weight = mapped / mapped.sum()
    centre = (weight.sum(axis=1) @ np.arange(height), weight.sum(axis=0) @ np.arange(width))
    # a small disc may lie anywhere in its cell: half a cell (16 of 224) is what 7 x 7 can tell
    region = input_region(spec, height, width)
    assert abs(centre[0] - y) < 16 * height / region.height
    assert abs(centre[1] - x) < 16 * width / region.width


def test_a_box_covers_cells_of_the_grid_by_their_area() -> None:
    spec = PreprocessSpec(64)
    assert covered((0, 0, 1, 1), spec, 300, 200, 2).tolist() == [[1, 1], [1, 1]]
    assert covered((0.25, 0, 1, 0.5), spec, 300, 200, 2).tolist() == [[0.5, 1], [0, 0]]


def test_a_box_is_found_where_padding_puts_the_image() -> None:
    spec = PreprocessSpec(64, "pad")  # of an image half as wide as high: the middle half
    assert covered((0, 0, 1, 1), spec, 200, 100, 4).tolist() == [[0, 1, 1, 0]] * 4
    assert covered((0, 0, 0.5, 0.25), spec, 200, 100, 4).tolist() == [[0, 1, 0, 0], *[[0] * 4] * 3]
