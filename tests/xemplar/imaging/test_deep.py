"""Own values of images of more than 8 bits: the file's, and the window they were shown in."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.images import dicom, drawn_image, encoded
from xemplar.imaging import Limits, Radiograph, decode
from xemplar.imaging.decoder_pool import DecodingPool
from xemplar.imaging.deep import DeepValues

FILM = drawn_image(3).astype(np.uint16) * 16 + np.arange(80, dtype=np.uint16) % 16
"""12 bits."""


def deep(image: Radiograph) -> DeepValues:
    assert image.deep is not None
    return image.deep


def own(values: DeepValues) -> npt.NDArray[np.float64]:
    return values.levels * values.slope + values.intercept


def film(**fields: Any) -> bytes:
    return dicom(FILM, BitsStored=12, **fields)


@pytest.mark.parametrize("file", [film(), encoded(FILM)], ids=["DICOM", "PNG"])
def test_every_value_of_the_file_is_kept(file: bytes) -> None:
    assert np.array_equal(own(deep(decode(file))), FILM)


@pytest.mark.parametrize("file", [encoded(drawn_image(3)), dicom(drawn_image(3))])
def test_images_of_8_bits_have_none(file: bytes) -> None:
    assert decode(file).deep is None


def test_the_window_is_the_headers() -> None:
    found = deep(decode(film(WindowCenter=2000, WindowWidth=3000)))
    assert (found.centre, found.width) == pytest.approx((2000, 3000), abs=4)
    assert not found.inverted


def test_values_are_those_of_the_rescaling() -> None:
    scaled = film(RescaleSlope=0.5, RescaleIntercept=-100, WindowCenter=900, WindowWidth=1500)
    found = deep(decode(scaled))
    assert own(found) == pytest.approx(FILM * 0.5 - 100, abs=0.02)
    assert (found.centre, found.width) == pytest.approx((900, 1500), abs=4)


def test_negative_values_are_kept() -> None:
    signed = FILM.astype(np.int16) - 2048
    assert np.array_equal(own(deep(decode(dicom(signed)))), signed)


def test_where_high_values_are_black_it_says_so() -> None:
    found = deep(decode(film(PhotometricInterpretation="MONOCHROME1")))
    assert found.inverted
    assert np.array_equal(own(found), FILM)


def test_padding_is_black_at_any_window() -> None:
    padded = FILM.copy()
    padded[:4] = 65535
    white = dicom(padded, PixelPaddingValue=65535, PhotometricInterpretation="MONOCHROME2")
    values = own(deep(decode(white)))
    assert (values[:4] == FILM[4:].min()).all()
    assert np.array_equal(values[4:], FILM[4:])


def test_large_films_have_the_size_of_their_display_copy() -> None:
    large = drawn_image(4, 1500, 1200).astype(np.uint16) * 16
    found = deep(decode(encoded(large)))
    assert found.levels.shape == (1024, 819)
    assert len(np.unique(found.levels)) > 1000  # not steps of 16


def test_a_pool_brings_them_whole() -> None:
    with DecodingPool(1, Limits(max_bytes=100_000, max_pixels=100_000)) as pool:
        said, wanted = pool(film()), decode(film())
        assert pool(encoded(drawn_image(3))).deep is None
    assert np.array_equal(deep(said).levels, deep(wanted).levels)
    for name in ("slope", "intercept", "centre", "width", "inverted"):
        assert getattr(deep(said), name) == getattr(deep(wanted), name), name
