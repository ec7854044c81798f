"""DICOM: pixel padding, valid and invalid."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread

from tests.images import dicom, written
from tests.xemplar.imaging.samples import IMAGE
from xemplar.imaging import decode

TWELVE = IMAGE.astype(np.uint16) * 16
OWN = decode(dicom(TWELVE)).pixels


def padded(
    pixels: npt.NDArray[Any], value: Any, limit: int | None = None, vr: str = "US", **fields: Any
) -> bytes:
    header = dcmread(io.BytesIO(dicom(pixels, **fields)))
    header.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        header.add_new("PixelPaddingRangeLimit", vr, limit)
    return written(header)


def beside(padding: Any, pixels: npt.NDArray[Any] = TWELVE) -> npt.NDArray[Any]:
    """The image with padding in its first 20 columns."""
    framed = pixels.copy()
    framed[:, :20] = padding
    return framed


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_whatever_is_white(photometric: str) -> None:
    pixels = IMAGE.copy()
    pixels[:, :10] = 255
    image = decode(padded(pixels, 255, PhotometricInterpretation=photometric)).pixels
    assert (image[:, :10] == 0).all()
    assert (image[:, 10:] > 0).any()


def test_padding_does_not_spoil_the_contrast_of_a_deep_image() -> None:
    # grey 1000 .. 1255 beside padding of -30000: the image's own values span black to white
    pixels = beside(-30_000, IMAGE.astype(np.int16) + 1000)
    image = decode(padded(pixels, -30_000, vr="SS")).pixels
    assert image[:, 20:].std() > 40
    assert (image[:, :20] == 0).all()


NOISE = np.random.default_rng(0).integers(60_000, 65_000, (96, 20), dtype=np.uint16)


@pytest.mark.parametrize(("value", "limit"), [(60_000, 65_535), (65_535, 60_000)])
def test_all_values_of_a_padding_range_are_black(value: int, limit: int) -> None:
    image = decode(padded(beside(NOISE), value, limit)).pixels
    assert (image[:, :20] == 0).all()
    assert image[:, 20:].std() > 40


def test_a_padding_range_may_be_negative() -> None:
    pixels = beside(-NOISE.astype(int) // 4, TWELVE.astype(np.int16))
    image = decode(padded(pixels, -20_000, -10_000, vr="SS")).pixels
    assert (image[:, :20] == 0).all()
    assert image[:, 20:].std() > 40


@pytest.mark.parametrize(
    ("dtype", "value", "vr"), [(np.uint16, -1, "SS"), (np.int16, 65_535, "US")]
)
def test_padding_is_read_with_the_sign_of_the_pixels(dtype: type, value: int, vr: str) -> None:
    pixels = beside(np.array(-1).astype(dtype), TWELVE.astype(dtype))
    image = decode(padded(pixels, value, vr=vr)).pixels
    assert (image[:, :20] == 0).all()
    assert image[:, 20:].std() > 40


def test_padding_in_bits_that_are_not_stored_is_found() -> None:
    image = decode(padded(beside(0xF000), 0xF000, BitsStored=12)).pixels
    assert (image[:, :20] == 0).all()
    assert image[:, 20:].std() > 40


@pytest.mark.parametrize(("value", "limit"), [(0, 4095), (0, 65_535), (0, 3_000)])
def test_padding_that_covers_the_image_is_ignored_with_a_warning(value: int, limit: int) -> None:
    image = decode(padded(TWELVE, value, limit))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert "most of the middle of the image padding; this was ignored" in image.warnings[0]


@pytest.mark.parametrize("value", [None, [0, 4095], [320, 336, 352]])
def test_an_empty_padding_value_or_several_count_as_none(value: Any) -> None:
    image = decode(padded(TWELVE, value))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert image.warnings == ()
