"""DICOM: pixels that contradict their header."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from tests.images import dicom, drawn_image, written
from tests.xemplar.imaging.samples import IMAGE, refused
from xemplar.errors import UnreadableImage
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

TWELVE = IMAGE.astype(np.uint16) * 16 + 7  # 12 bits, the lowest of which are used
OWN = decode(dicom(TWELVE, BitsStored=12)).pixels
SIGNED = (TWELVE.astype(int) - 2048).astype(np.int16)


def changed(pixels: npt.NDArray[Any] = TWELVE, **fields: Any) -> bytes:
    """An image of 12 bits in 16 whose header is changed last of all; None leaves a field out."""
    header = dcmread(io.BytesIO(dicom(pixels, BitsStored=12)))
    for keyword, value in fields.items():
        header[keyword].value = value
        if value is None:
            del header[keyword]
    return written(header)


# ---- Used bits and sign (PS3.5 8.1.1) -----------------------------------------------------------

OVERLAY = TWELVE.copy()
OVERLAY[40:50, 10:70] |= 0x8000
OVERLAY[60:62] |= 0x1000

BITS = {
    "the highest bit is 15, and the values are shifted": (TWELVE << 4, {"HighBit": 15}),
    "the highest bit is 15, and the values are not shifted": (TWELVE, {"HighBit": 15}),
    "the highest bit is 0": (TWELVE, {"HighBit": 0}),
    "overlays in the bits above": (OVERLAY, {}),
    "overlays in the bits below": (TWELVE << 4 | (OVERLAY >> 15), {"HighBit": 15}),
    "8 bits stored of 12": (TWELVE, {"BitsStored": 8, "HighBit": 7}),
    "10 bits stored of 12": (TWELVE, {"BitsStored": 10, "HighBit": 9}),
    "0 bits stored": (TWELVE, {"BitsStored": 0, "HighBit": 0}),
    "99 bits stored": (TWELVE, {"BitsStored": 99}),
    "signed": (SIGNED, {"PixelRepresentation": 1}),
    "signed, without its sign in the upper bits": (
        SIGNED.view(np.uint16) & 0xFFF,
        {"PixelRepresentation": 1},
    ),
    "signed, and says unsigned": (SIGNED, {"BitsStored": 16, "HighBit": 15}),
    "unsigned, and says signed": (TWELVE, {"PixelRepresentation": 1}),
    "16 bits, unsigned, and says signed": (
        TWELVE * 16,
        {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15},
    ),
    "another byte order": (TWELVE.byteswap(), {"BitsStored": 16, "HighBit": 15}),
    "another byte order than that of 12 bits": (TWELVE.byteswap(), {}),
}


@pytest.mark.parametrize("name", BITS)
def test_the_image_is_seen_whatever_bits_its_header_names(name: str) -> None:
    pixels, fields = BITS[name]
    image = decode(changed(pixels, **fields))
    np.testing.assert_allclose(image.pixels.astype(int), OWN.astype(int), atol=1)


@pytest.mark.parametrize("keyword", ["BitsStored", "HighBit", "PixelRepresentation"])
def test_what_describes_the_bits_may_be_absent_or_empty(keyword: str) -> None:
    header = dcmread(io.BytesIO(changed()))
    header[keyword] = DataElement(Tag(keyword), "US", None)
    for data in (changed(**{keyword: None}), written(header)):
        np.testing.assert_array_equal(decode(data).pixels, OWN)


@pytest.mark.parametrize("keyword", ["BitsAllocated", "SamplesPerPixel"])
def test_allocated_bits_and_samples_are_told_from_the_data(keyword: str) -> None:
    np.testing.assert_array_equal(decode(changed(**{keyword: None})).pixels, OWN)


def test_an_absent_photometric_interpretation_is_supposed_with_a_warning() -> None:
    image = decode(changed(PhotometricInterpretation=None))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert "says no interpretation" in image.warnings[0]
    assert "read as MONOCHROME2" in image.warnings[0]


def test_32_bits_are_read() -> None:
    np.testing.assert_array_equal(decode(dicom(TWELVE.astype(np.uint32))).pixels, OWN)


# ---- Value representations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vr", "value"), [("IS", "96"), ("LO", "96 "), ("UL", 96), ("US", [96, 96])]
)
def test_rows_may_be_written_in_another_value_representation(vr: str, value: Any) -> None:
    header = dcmread(io.BytesIO(changed()))
    header["Rows"] = DataElement(tag_for_keyword("Rows"), vr, value)
    np.testing.assert_array_equal(decode(written(header)).pixels, OWN)


@pytest.mark.parametrize("vr", ["OB", "UN", "OF", "OD", "OL", "UT"])
def test_pixel_data_may_be_written_in_another_value_representation(vr: str) -> None:
    data = changed()
    place = data.index(b"\xe0\x7f\x10\x00OW") + 4
    other = data[:place] + vr.encode() + data[place + 2 :]
    np.testing.assert_array_equal(decode(other).pixels, OWN)


# ---- Length -------------------------------------------------------------------------------------


def of_length(data: bytes) -> bytes:
    return changed(PixelData=data)


@pytest.mark.parametrize("extra", [2, 512, 4096])
def test_bytes_behind_the_pixels_are_left_aside(extra: int) -> None:
    image = decode(of_length(TWELVE.tobytes() + bytes(extra)))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert f"{extra:,} bytes follow" in image.warnings[0]


@pytest.mark.parametrize("missing", [2, 100, 152])
def test_a_few_missing_bytes_are_made_good_with_a_warning(missing: int) -> None:
    image = decode(of_length(TWELVE.tobytes()[:-missing]))
    np.testing.assert_allclose(image.pixels[:-1].astype(int), OWN[:-1].astype(int), atol=1)
    assert f"lack their last {missing} of" in image.warnings[0]


@pytest.mark.parametrize("share", [0, 0.5, 0.9, 0.98])
def test_pixels_that_are_cut_short_are_rejected(share: float) -> None:
    data = TWELVE.tobytes()
    refused(of_length(data[: int(share * len(data)) // 2 * 2]), UnreadableImage, "15,360 bytes")


def test_a_file_that_is_cut_short_is_rejected_and_one_that_lacks_little_is_not() -> None:
    data = changed()
    refused(data[:-8000], UnreadableImage, "15,360 bytes, but the pixels have 7,360")
    assert "lack their last 60 of 15,360 bytes" in decode(data[:-60]).warnings[0]


def test_more_pixels_than_rows_and_columns_say_are_rejected() -> None:
    image = dicom(drawn_image(1, 128, 128), Rows=64)
    refused(image, UnreadableImage, "says 64 x 128 .* = 8,192 bytes, but the pixels have 16,384")
