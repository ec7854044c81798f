"""Bytes -> Radiograph: every format, every refusal, no surprise for any bytes at all."""

import csv
import io
import json
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.films import compressed, dicom, drawn_film, encapsulated, encoded
from xemplar.errors import (
    ImageTooLarge,
    InputError,
    NotARadiograph,
    UnreadableImage,
    UnsupportedImage,
)
from xemplar.preprocess import PreprocessSpec, preprocess
from xemplar.radiograph import Limits, Radiograph, decode

FILM = drawn_film(1)  # 96 high, 80 wide, so that a turned film shows
DEEP = FILM.astype(np.uint16) * 257  # 8 -> 16 bit: 0 stays 0, 255 becomes 65535
MEBIBYTE = 2**20


def correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def painted(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


# ---- PNG ----------------------------------------------------------------------------------------


def palette() -> Image.Image:
    """FILM through a palette that stores grey 255 - i at place i."""
    image = Image.fromarray(255 - FILM).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([255 - value for value in range(256) for _ in range(3)])
    return image


GREY = Image.fromarray(FILM)
ALPHA = Image.fromarray(np.full_like(FILM, 128))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(GREY, id="grey"),
        pytest.param(GREY.convert("RGB"), id="RGB"),
        pytest.param(Image.merge("RGBA", (GREY, GREY, GREY, ALPHA)), id="RGBA"),
        pytest.param(Image.merge("LA", (GREY, ALPHA)), id="LA"),
        pytest.param(palette(), id="palette"),
    ],
)
def test_an_8_bit_png_keeps_its_grey_values_and_loses_its_alpha(image: Image.Image) -> None:
    film = decode(painted(image))
    np.testing.assert_array_equal(film.pixels, FILM)
    assert (film.format, film.source_size, film.pixels.dtype) == ("PNG", (96, 80), np.uint8)


def test_a_palette_png_with_a_transparency_for_every_colour_keeps_its_grey_values() -> None:
    film = decode(painted(palette(), transparency=bytes(range(256))))
    np.testing.assert_array_equal(film.pixels, FILM)


def test_a_1_bit_png_becomes_black_and_white() -> None:
    film = decode(painted(Image.fromarray(FILM > 128)))
    np.testing.assert_array_equal(film.pixels, np.where(FILM > 128, 255, 0))


def test_a_16_bit_png_is_stretched_between_its_percentiles() -> None:
    low, high = np.percentile(DEEP[::4, ::4], (0.5, 99.5))
    wanted = np.clip((DEEP - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(decode(encoded(DEEP)).pixels, wanted, atol=0.51)


def test_a_16_bit_film_with_two_values_is_stretched_between_them() -> None:
    # one bright pixel is beyond both percentiles, which are then equal
    pixels = np.full((96, 80), 300, np.uint16)
    pixels[50, 50] = 900
    film = decode(encoded(pixels)).pixels
    assert (film[50, 50], film[0, 0]) == (255, 0)


def test_the_identity_is_the_sha256_of_the_bytes() -> None:
    # sha256sum of the file with these bytes
    import hashlib

    data = encoded(FILM)
    assert decode(data).sha256 == hashlib.sha256(data).hexdigest()


# ---- JPEG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_in_grey_is_decoded_from_any_colour_model(mode: str) -> None:
    film = decode(painted(GREY.convert("RGB").convert(mode), "JPEG", quality=95))
    assert film.format == "JPEG"
    assert np.abs(film.pixels.astype(int) - FILM).max() <= 8


# Stored pixels of an upright film, by EXIF orientation (TIFF 6.0, tag 274).
STORED: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda film: film,
    2: lambda film: film[:, ::-1],
    3: lambda film: film[::-1, ::-1],
    4: lambda film: film[::-1],
    5: lambda film: film.T,
    6: lambda film: np.rot90(film),
    7: lambda film: film[::-1, ::-1].T,
    8: lambda film: np.rot90(film, -1),
}


def lying(film: npt.NDArray[Any], orientation: int, format: str) -> bytes:  # noqa: A002
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format == "JPEG" else {}
    return encoded(np.ascontiguousarray(STORED[orientation](film)), format, exif=exif, **options)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_picture_is_put_upright(orientation: int, format: str) -> None:  # noqa: A002
    film = decode(lying(FILM, orientation, format))
    assert film.source_size == film.pixels.shape == (96, 80)
    assert np.abs(film.pixels.astype(int) - FILM).max() <= 8


@pytest.mark.parametrize("orientation", STORED)
def test_a_big_jpeg_is_decoded_smaller_and_keeps_its_source_size(orientation: int) -> None:
    # one pixel from square: at half the size it is square
    big = drawn_film(2, height=2050, width=2049)
    film = decode(lying(big, orientation, "JPEG"))
    assert film.source_size == (2050, 2049)
    assert film.pixels.shape == (1025, 1025)
    assert correlation(film.pixels, big[::2, ::2]) > 0.999


def test_a_jpeg_is_never_decoded_below_1024_pixels() -> None:
    film = decode(encoded(drawn_film(2, height=2040, width=3000), "JPEG"))
    assert film.pixels.shape == film.source_size == (2040, 3000)


def test_a_damaged_exif_block_is_no_reason_to_refuse_or_to_crash() -> None:
    data = lying(FILM, 6, "JPEG")
    assert data.count(b"II*\0") + data.count(b"MM\0*") == 1
    damaged = data.replace(b"II*\0", b"II?\0").replace(b"MM\0*", b"MM\0?")
    assert decode(damaged).pixels.shape == (80, 96)  # as it is stored


# ---- TIFF ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_an_8_bit_tiff_keeps_its_grey_values(compression: str) -> None:
    film = decode(encoded(FILM, "TIFF", compression=compression))
    np.testing.assert_array_equal(film.pixels, FILM)
    assert film.format == "TIFF"


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_deep_tiff_is_stretched(dtype: type) -> None:
    film = decode(encoded(FILM.astype(dtype) * 10, "TIFF"))
    assert correlation(film.pixels, FILM) > 0.999
    assert (film.pixels.min(), film.pixels.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_turned(dtype: type) -> None:
    stored = (FILM.astype(dtype) * (np.iinfo(dtype).max // 255)).astype(dtype)
    data = bytearray(encoded(np.iinfo(dtype).max - stored, "TIFF"))
    entry = data.index(struct.pack("<HHI", 262, 3, 1))  # tag, SHORT, one value: BlackIsZero
    assert data[entry + 8] == 1
    data[entry + 8] = 0
    assert correlation(decode(bytes(data)).pixels, FILM) > 0.999


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tiff_with_values_that_are_no_numbers_is_refused(value: float) -> None:
    pixels = FILM.astype(np.float32)
    pixels[3, 4] = value
    with pytest.raises(UnreadableImage, match="no numbers"):
        decode(encoded(pixels, "TIFF"))


@pytest.mark.parametrize("format", ["TIFF", "PNG"])
def test_several_pictures_in_one_file_are_refused(format: str) -> None:  # noqa: A002
    other = Image.fromarray(drawn_film(3))
    data = painted(GREY, format, save_all=True, append_images=[other])
    with pytest.raises(UnsupportedImage, match=f"the {format} holds 2 pictures; send one film"):
        decode(data)


# ---- DICOM: from stored values to displayed grey ------------------------------------------------


def test_plain_8_bit_dicom_keeps_its_grey_values() -> None:
    film = decode(dicom(FILM))
    np.testing.assert_array_equal(film.pixels, FILM)
    assert (film.format, film.photometric, film.source_size) == ("DICOM", "MONOCHROME2", (96, 80))


def test_signed_8_bit_values_are_stretched_over_their_whole_range() -> None:
    # -128 is black and 127 is white
    film = decode(dicom((FILM.astype(np.int16) - 128).astype(np.int8)))
    np.testing.assert_array_equal(film.pixels, FILM)


def test_6_bits_stored_are_stretched_over_their_whole_range() -> None:
    # 63 is white: 255 * v / 63, rounded
    film = decode(dicom(FILM // 4, BitsStored=6))
    np.testing.assert_array_equal(film.pixels, np.round(255 / 63 * (FILM // 4)))


def test_an_8_bit_rescale_does_not_change_the_displayed_grey() -> None:
    film = decode(dicom(FILM, RescaleSlope="10", RescaleIntercept="-1000"))
    np.testing.assert_array_equal(film.pixels, FILM)


def test_a_negative_slope_turns_an_8_bit_film() -> None:
    film = decode(dicom(FILM, RescaleSlope="-1", RescaleIntercept="255"))
    np.testing.assert_array_equal(film.pixels, 255 - FILM)


def test_monochrome1_is_turned() -> None:
    film = decode(dicom(FILM, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(film.pixels, 255 - FILM)
    assert film.photometric == "MONOCHROME1"


RAMP = np.arange(96 * 80, dtype=np.uint16).reshape(96, 80)  # 0 .. 7679
WINDOW = {"WindowCenter": "3000", "WindowWidth": "2000"}


def test_a_linear_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1, y from 0 to 255:
    # x <= c - 0.5 - (w - 1) / 2 -> 0; x > c - 0.5 + (w - 1) / 2 -> 255;
    # else ((x - (c - 0.5)) / (w - 1) + 0.5) * 255. By hand: x = 2500 gives 63.8...
    film = decode(dicom(RAMP, **WINDOW)).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, np.clip(((x - 2999.5) / 1999 + 0.5) * 255, 0, 255), atol=0.51)
    assert film.flat[2500] == round(((2500 - 2999.5) / 1999 + 0.5) * 255) == 64


def test_a_linear_exact_window_takes_its_centre_as_it_is() -> None:
    film = decode(dicom(RAMP, **WINDOW, VOILUTFunction="LINEAR_EXACT")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, np.clip(((x - 3000) / 2000 + 0.5) * 255, 0, 255), atol=0.51)


def test_a_sigmoid_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.3.1: 255 / (1 + exp(-4 (x - c) / w)); the centre is mid grey
    film = decode(dicom(RAMP, **WINDOW, VOILUTFunction="SIGMOID")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, 255 / (1 + np.exp(-4 * (x - 3000) / 2000)), atol=0.51)


def test_a_narrow_sigmoid_window_does_not_overflow() -> None:
    film = decode(
        dicom(RAMP, WindowCenter="3000", WindowWidth="2", VOILUTFunction="SIGMOID")
    ).pixels
    assert (film.flat[2990], film.flat[3010]) == (0, 255)


def test_a_window_looks_at_rescaled_values() -> None:
    # stored 2500 is 4000 after rescaling: the centre
    film = decode(
        dicom(
            RAMP,
            RescaleSlope="2",
            RescaleIntercept="-1000",
            WindowCenter="4000.5",
            WindowWidth="2001",
        )
    ).pixels
    assert film.flat[2500] == 128
    assert film.flat[1500 - 10] == 0
    assert film.flat[3500 + 10] == 255


def test_a_negative_slope_turns_the_film() -> None:
    film = decode(
        dicom(
            RAMP,
            RescaleSlope="-1",
            RescaleIntercept="7679",
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert film.flat[0] > 250
    assert film.flat[-1] < 5


def test_the_first_of_several_windows_counts() -> None:
    several = dicom(RAMP, WindowCenter=["3000", "100"], WindowWidth=["2000", "50"])
    np.testing.assert_array_equal(decode(several).pixels, decode(dicom(RAMP, **WINDOW)).pixels)


def test_a_window_without_a_centre_is_left_aside() -> None:
    np.testing.assert_array_equal(
        decode(dicom(RAMP, WindowWidth="2000")).pixels, decode(dicom(RAMP)).pixels
    )


@pytest.mark.parametrize("width", ["0", "-5"])
def test_a_window_that_is_not_wider_than_0_is_refused(width: str) -> None:
    with pytest.raises(UnreadableImage, match=f"the width {width}.*wider than 0"):
        decode(dicom(RAMP, WindowCenter="3000", WindowWidth=width))


def test_an_unknown_window_function_is_refused_by_its_name() -> None:
    with pytest.raises(UnreadableImage, match="'MYSTERY'"):
        decode(dicom(RAMP, **WINDOW, VOILUTFunction="MYSTERY"))


def lookup(table: npt.NDArray[Any], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(table), first, bits]
    item.add_new("LUTData", "US", [int(value) for value in table])
    return item


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_is_looked_up_and_stretched_over_its_bits(bits: int) -> None:
    # the table turns 1000 .. 4999 around; what lies outside takes the first or last entry
    top = 2**bits - 1
    table = np.round(np.linspace(top, 0, 4000))
    film = decode(dicom(RAMP, VOILUTSequence=[lookup(table, 1000, bits)])).pixels
    wanted = table[np.clip(RAMP.astype(int) - 1000, 0, 3999)] / top * 255
    np.testing.assert_allclose(film, wanted, atol=0.51)


def test_a_voi_lut_counts_more_than_a_window() -> None:
    table = np.linspace(0, 4095, 4000)
    both = dicom(RAMP, VOILUTSequence=[lookup(table, 0, 12)], **WINDOW)
    alone = dicom(RAMP, VOILUTSequence=[lookup(table, 0, 12)])
    np.testing.assert_array_equal(decode(both).pixels, decode(alone).pixels)


def test_a_modality_lut_is_looked_up_before_the_window() -> None:
    # the table turns the stored values around: the smallest become the largest
    table = np.arange(7680)[::-1]
    film = decode(
        dicom(
            RAMP,
            ModalityLUTSequence=[lookup(table, 0, 16)],
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert film.flat[0] == 255
    assert film.flat[-1] == 0


def test_a_deep_film_without_a_window_is_stretched_between_its_percentiles() -> None:
    film = decode(dicom(DEEP)).pixels
    low, high = np.percentile(DEEP[::4, ::4], (0.5, 99.5))
    np.testing.assert_allclose(film, np.clip((DEEP - low) / (high - low) * 255, 0, 255), atol=0.51)


def test_signed_deep_values_keep_their_order() -> None:
    film = decode(dicom((FILM.astype(np.int16) - 128) * 16)).pixels
    assert correlation(film, FILM) > 0.999


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_whatever_is_white(photometric: str) -> None:
    pixels = FILM.copy()
    pixels[:, :10] = 255
    film = decode(
        dicom(pixels, PixelPaddingValue=255, PhotometricInterpretation=photometric)
    ).pixels
    assert (film[:, :10] == 0).all()
    assert (film[:, 10:] > 0).any()


def test_padding_does_not_spoil_the_contrast_of_a_deep_film() -> None:
    # grey 1000 .. 1255 beside padding of -30000: the film's own values span black to white
    pixels = FILM.astype(np.int16) + 1000
    pixels[:, :20] = -30000
    film = decode(dicom(pixels, PixelPaddingValue=-30000)).pixels
    assert film[:, 20:].std() > 40


# ---- DICOM: compressed --------------------------------------------------------------------------

# GDCM, a dependency, encodes all of them; pyjpegls and pylibjpeg are not needed.
LOSSLESS = {
    "JPEG lossless (process 14)": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "JPEG lossless (selection value 1)": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "RLE": gdcm.TransferSyntax.RLELossless,
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_a_losslessly_compressed_film_equals_the_plain_one(syntax: int, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    plain = dicom((FILM.astype(np.uint16) << (bits - 8)).astype(dtype), BitsStored=bits)
    np.testing.assert_array_equal(decode(compressed(plain, syntax)).pixels, decode(plain).pixels)


@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_signed_values_are_kept_by_every_lossless_compression(syntax: int) -> None:
    plain = dicom((FILM.astype(np.int16) - 128) * 16, BitsStored=12)
    np.testing.assert_array_equal(decode(compressed(plain, syntax)).pixels, decode(plain).pixels)


def test_jpeg_baseline_is_decoded() -> None:
    frame = encoded(FILM, "JPEG", quality=95)
    film = decode(encapsulated(FILM, frame, JPEGBaseline8Bit)).pixels
    assert np.abs(film.astype(int) - FILM).max() <= 8


def test_lossy_jpeg_2000_is_decoded() -> None:
    data = compressed(dicom(FILM), gdcm.TransferSyntax.JPEG2000)
    assert correlation(decode(data).pixels, FILM) > 0.999


def test_fill_bytes_and_restart_intervals_in_a_jpeg_stream_are_understood() -> None:
    frame = encoded(FILM, "JPEG", quality=95, restart_marker_blocks=4)
    filled = frame[:2] + b"\xff\xff" + frame[2:]
    film = decode(encapsulated(FILM, filled, JPEGBaseline8Bit)).pixels
    assert np.abs(film.astype(int) - FILM).max() <= 8


LARGE = drawn_film(4, height=512, width=512)


def jpeg_2000(pixels: npt.NDArray[Any]) -> bytes:
    return encoded(pixels, "JPEG2000", no_jp2=True)


def jpeg_ls(pixels: npt.NDArray[Any]) -> bytes:
    header = dcmread(io.BytesIO(compressed(dicom(pixels), gdcm.TransferSyntax.JPEGLSLossless)))
    from pydicom.encaps import get_frame

    return get_frame(header.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize(
    ("frame", "syntax"),
    [
        (encoded(LARGE, "JPEG"), JPEGBaseline8Bit),
        (jpeg_2000(LARGE), JPEG2000Lossless),
        (jpeg_ls(LARGE), JPEGLSLossless),
    ],
    ids=["JPEG", "JPEG 2000", "JPEG-LS"],
)
def test_a_codestream_larger_than_its_header_says_is_refused(frame: bytes, syntax: str) -> None:
    with pytest.raises(UnreadableImage, match=r"512 x 512 x 1.*but its header says 96 x 80"):
        decode(encapsulated(FILM, frame, syntax))


def test_a_codestream_with_more_samples_than_its_header_says_is_refused() -> None:
    frame = encoded(np.dstack([FILM] * 3), "JPEG")
    with pytest.raises(UnreadableImage, match="96 x 80 x 3"):
        decode(encapsulated(FILM, frame, JPEGBaseline8Bit))


def test_a_large_codestream_behind_a_small_decoy_is_refused() -> None:
    # a JP2 box in front, whose content looks like the beginning of a codestream of the right size
    decoy = jpeg_2000(FILM)[:60]
    box = struct.pack(">I4s", 8 + len(decoy), b"free") + decoy
    with pytest.raises(UnreadableImage, match="no size that can be read"):
        decode(encapsulated(FILM, box + encoded(LARGE, "JPEG2000"), JPEG2000Lossless))


def test_a_large_codestream_that_a_table_of_places_points_to_is_refused() -> None:
    header = dcmread(io.BytesIO(encapsulated(FILM, encoded(FILM, "JPEG"), JPEGBaseline8Bit)))
    from pydicom.encaps import encapsulate

    small, large = encoded(FILM, "JPEG"), encoded(LARGE, "JPEG")
    small += b"\0" * (len(small) % 2)
    header.PixelData = encapsulate([small, large], has_bot=False)
    header.NumberOfFrames = 1
    header.ExtendedOffsetTable = struct.pack("<Q", 8 + len(small))
    header.ExtendedOffsetTableLengths = struct.pack("<Q", len(large))
    file = io.BytesIO()
    header.save_as(file, enforce_file_format=True)
    film = decode(file.getvalue())
    assert film.pixels.shape == (96, 80)


def rle_bomb(runs: int) -> bytes:
    """One RLE segment of ``runs`` runs of 128 zeros each (PS3.5 G.3): header, then 0x81 0x00."""
    return struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x00" * runs


def test_an_rle_frame_that_unpacks_to_more_than_its_pixels_is_refused() -> None:
    data = encapsulated(FILM, rle_bomb(500_000), RLELossless)  # 64 million zeros
    peak = peak_memory(lambda: refused(data, UnreadableImage, "more than the 7,680 pixels"))
    assert peak < 16 * MEBIBYTE


@pytest.mark.filterwarnings("ignore")  # pydicom's, which outside of tests ends nothing
def test_more_pixels_than_rows_and_columns_say_are_refused() -> None:
    film = dicom(drawn_film(1, 128, 128), Rows=64)
    refused(film, UnreadableImage, "says 64 x 128, but the pixels are 2 x 64 x 128")


def test_gdcm_is_not_loaded_into_the_process_that_decodes(tmp_path: Path) -> None:
    (tmp_path / "film.dcm").write_bytes(compressed(dicom(FILM), gdcm.TransferSyntax.RLELossless))
    code = "import sys; from pathlib import Path; from xemplar.radiograph import decode; "
    code += "decode(Path(sys.argv[1]).read_bytes()); assert not sys.modules['gdcm']"
    subprocess.run([sys.executable, "-c", code, tmp_path / "film.dcm"], check=True)


# ---- DICOM: what the header says, and what of it leaves -----------------------------------------


@pytest.mark.parametrize(
    ("written", "view"),
    [("PA", "PA"), ("AP", "AP"), ("ll ", "LL"), ("LATERAL", "LATERAL"), ("AP SUPINE", "AP"),
     ("", None), ("DOE JOHN", None)],
)  # fmt: skip
def test_the_view_is_one_of_the_known_words_or_none(written: str, view: str | None) -> None:
    assert decode(dicom(FILM, ViewPosition=written)).view == view


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"BodyPartExamined": "HAND"}, "shows HAND, not a chest"),
        ({"ViewPosition": "LL"}, "the view is LL; the network knows frontal films"),
        ({"BurnedInAnnotation": "YES"}, "text is burnt into the picture; it may name the patient"),
    ],
)
def test_what_a_header_says_against_a_film_is_told(fields: dict[str, str], said: str) -> None:
    (warning,) = decode(dicom(FILM, **fields)).warnings
    assert said in warning


@pytest.mark.parametrize(
    "fields",
    [
        {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "BurnedInAnnotation": "NO"},
        {"BodyPartExamined": "RIBCAGE"},
        {"BodyPartExamined": "JANE DOE"},
        {},
    ],
)
def test_a_header_of_a_frontal_chest_film_gives_no_warning(fields: dict[str, str]) -> None:
    assert decode(dicom(FILM, **fields)).warnings == ()


def test_the_pixel_spacing_is_kept() -> None:
    assert decode(dicom(FILM, PixelSpacing=["0.15", "0.2"])).spacing_mm == (0.15, 0.2)


def test_the_spacing_at_the_detector_is_the_second_choice() -> None:
    assert decode(dicom(FILM, ImagerPixelSpacing=["0.1", "0.1"])).spacing_mm == (0.1, 0.1)


@pytest.mark.parametrize("spacing", [["0", "0"], ["-1", "1"], ["NaN", "1"], ["Infinity", "1"]])
def test_a_spacing_that_cannot_be_is_unknown(spacing: list[str]) -> None:
    assert decode(dicom(FILM, PixelSpacing=spacing)).spacing_mm is None


@pytest.mark.parametrize(
    ("written", "sex"), [("F", "F"), ("m ", "M"), ("O", None), ("", None), ("FEMALE DOE", None)]
)
def test_the_sex_is_female_male_or_unknown(written: str, sex: str | None) -> None:
    assert decode(dicom(FILM, PatientSex=written)).sex == sex


@pytest.mark.parametrize(
    ("written", "years"),
    [("040Y", 40), ("018M", 1), ("012W", 0), ("104W", 1), ("100D", 0), ("731D", 2), ("120Y", 120),
     ("121Y", None), ("", None), ("40", None), ("Y040", None)],
)  # fmt: skip
def test_the_age_is_in_whole_years_or_unknown(written: str, years: int | None) -> None:
    film = decode(dicom(FILM, PatientAge=written, PatientBirthDate="19610203"))
    assert film.age == years


def code(value: str, scheme: str = "SCT", meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"BodyPartExamined": "HAND"}, "HAND"),
        ({"BodyPartExamined": "CHEST"}, None),
        ({"BodyPartExamined": "JANE DOE"}, None),
        ({"BodyPartExamined": "LEFT KNEES"}, "KNEE"),
        ({"BodyPartExamined": "CHESTABDOMEN"}, None),
        ({"AnatomicRegionSequence": code("30021000", meaning="Lower leg")}, "LEG"),
        ({"AnatomicRegionSequence": code("T-D8700", "SRT")}, "HAND"),
        ({"AnatomicRegionSequence": code("1", "99LOCAL", "Right hip")}, "HIP"),
        ({"AnatomicRegionSequence": code("816094009", meaning="Chest")}, None),
        ({"AnatomicRegionSequence": code("T-D3000", "SRT")}, None),
        ({"AnatomicRegionSequence": []}, None),
        ({"BodyPartExamined": "CHEST", "AnatomicRegionSequence": code("T-D8700", "SRT")}, "HAND"),
    ],
)
def test_another_part_of_the_body_is_named_by_text_or_code(
    fields: dict[str, Any], part: str | None
) -> None:
    film = decode(dicom(FILM, **fields))
    assert film.body_part == part
    assert [part in warning for warning in film.warnings if part] == [True] * bool(part)


IDENTITY = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN-778812",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "PatientAddress": "12 Harley Street",
    "OtherPatientNames": "Roe^Jane",
    "AccessionNumber": "ACC551",
    "InstitutionName": "St Elsewhere",
    "ReferringPhysicianName": "Grey^Meredith",
    "StudyDate": "20240717",
    "StudyInstanceUID": "1.2.840.99.1",
    "SeriesInstanceUID": "1.2.840.99.2",
    "StudyDescription": "chest of Jane Doe",
    "DeviceSerialNumber": "SN4711",
    "ViewPosition": "DOE^JANE",
}


def test_no_field_of_the_radiograph_holds_anything_of_the_patient() -> None:
    film = decode(dicom(FILM, **IDENTITY))
    fields = {name: value for name, value in asdict(film).items() if name != "pixels"}
    text = json.dumps(fields).upper()
    assert [
        name for name, value in IDENTITY.items() if value.upper() in text and len(value) > 1
    ] == []
    assert set(fields) == {
        "source_size", "sha256", "format", "view", "photometric", "spacing_mm", "body_part", "sex",
        "age", "warnings",
    }  # fmt: skip


# ---- Refusals -----------------------------------------------------------------------------------


def refused(data: bytes, error: type[InputError], message: str, **limits: int) -> None:
    with pytest.raises(error, match=message):
        decode(data, Limits(**limits))


def peak_memory(work: Callable[[], object]) -> int:
    """Most bytes that Python and NumPy held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", UnreadableImage, "the file is empty"),
        (b"This is a letter.", UnreadableImage, "no PNG, JPEG, TIFF or DICOM.*b'This is '"),
        (painted(GREY, "GIF"), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (painted(GREY, "BMP"), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (b"%PDF-1.7" + bytes(500), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (encoded(np.zeros((1, 1), np.uint8)), NotARadiograph, "1 x 1 pixels.*at least 64"),
        (encoded(FILM[:, :63]), NotARadiograph, "63 x 96 pixels.*at least 64"),
        (encoded(np.full((96, 80), 7, np.uint8)), NotARadiograph, "value 7: a constant"),
        (encoded(np.full((96, 80), 700, np.uint16)), NotARadiograph, "constant"),
        (dicom(np.full((96, 80), 700, np.uint16)), NotARadiograph, "constant"),
    ],
    ids=["empty", "text", "GIF", "BMP", "PDF", "1x1", "narrow", "constant", "constant deep",
         "constant DICOM"],
)  # fmt: skip
def test_what_is_no_radiograph_is_refused_with_a_reason(
    data: bytes, error: type[InputError], message: str
) -> None:
    refused(data, error, message)


def test_a_file_with_more_bytes_than_the_limit_is_refused() -> None:
    data = encoded(FILM)
    refused(data, ImageTooLarge, f"{len(data):,} bytes; the limit is 100", max_bytes=100)


def test_a_picture_with_more_pixels_than_the_limit_is_refused() -> None:
    refused(
        encoded(FILM), ImageTooLarge, "80 x 96 = 7,680 pixels; the limit is 7,000", max_pixels=7000
    )


def test_a_colour_photograph_is_refused() -> None:
    colour = np.dstack([drawn_film(seed) for seed in (5, 6, 7)])
    refused(
        encoded(colour), NotARadiograph, "in colour .channels differ by [0-9]+ of 255.*limit is 12"
    )


def test_a_film_with_a_slight_tint_is_accepted() -> None:
    tinted = np.dstack([FILM, FILM, np.minimum(FILM, 245) + 10])
    assert correlation(decode(encoded(tinted)).pixels, FILM) > 0.99


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"Modality": "CT"}, UnsupportedImage, "modality is 'CT'; .* CR or DX"),
        ({"Modality": "MG"}, UnsupportedImage, "modality is 'MG'"),
        ({"PixelData": None}, UnsupportedImage, "no pixel data"),
        ({"NumberOfFrames": 12}, UnsupportedImage, "12 frames; send a single film"),
        (
            {"PhotometricInterpretation": "YBR_FULL_422"},
            UnsupportedImage,
            "'YBR_FULL_422'; a radiograph is MONOCHROME1 or MONOCHROME2",
        ),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnsupportedImage, "'PALETTE COLOR'"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, UnsupportedImage, "3 samples per pixel"),
        ({"Rows": 40}, NotARadiograph, "80 x 40 pixels"),
        ({"Rows": None}, NotARadiograph, "80 x 0 pixels"),
        ({"Rows": 50000, "Columns": 50000}, ImageTooLarge, "50000 x 50000 = 2,500,000,000 pixels"),
        ({"Rows": 97}, UnreadableImage, "the DICOM pixels cannot be decoded"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_dicom_object_that_is_no_single_grey_film_is_refused(
    fields: dict[str, Any], error: type[InputError], message: str
) -> None:
    refused(dicom(FILM, **fields), error, message)


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", ""])
def test_projection_radiographs_of_all_names_are_accepted(modality: str) -> None:
    assert decode(dicom(FILM, Modality=modality)).format == "DICOM"


# ---- Bombs: small files that would fill the memory ----------------------------------------------


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that declares this size, with these chunks after its header."""
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), *chunks, (b"IEND", b""))
    )


def hundred_megapixels() -> bytes:
    deflating = zlib.compressobj(9)
    rows = b"".join(deflating.compress(bytes(10_001 * 100)) for _ in range(100))
    return png(10_000, 10_000, (b"IDAT", rows + deflating.flush()))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(hundred_megapixels(), id="100 megapixels"),
        pytest.param(png(2**31 - 1, 2**31 - 1, (b"IDAT", zlib.compress(b"0"))), id="huge header"),
        pytest.param(png(36_001, 1000, (b"IDAT", zlib.compress(b"0"))), id="just over the limit"),
    ],
)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(data: bytes) -> None:
    assert len(data) < MEBIBYTE
    assert peak_memory(lambda: refused(data, ImageTooLarge, "pixels")) < 8 * MEBIBYTE


def test_a_png_whose_text_inflates_without_end_is_refused() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(64 * MEBIBYTE))
    data = png(96, 80, (b"zTXt", text), (b"IDAT", zlib.compress(bytes(97 * 80))))
    assert peak_memory(lambda: refused(data, UnreadableImage, "header is damaged")) < 8 * MEBIBYTE


def deflated(body: bytes) -> bytes:
    """A DICOM file whose data set is this raw DEFLATE stream (PS3.5 A.5)."""
    plain = dicom(FILM, TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    length = int.from_bytes(plain[140:144], "little")
    return plain[: 144 + length] + body


def test_a_deflated_dicom_film_equals_the_plain_one() -> None:
    plain = dicom(FILM, TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    np.testing.assert_array_equal(decode(plain).pixels, FILM)


def test_a_deflated_dicom_data_set_that_inflates_without_end_is_refused() -> None:
    deflating = zlib.compressobj(9, wbits=-15)
    body = b"".join(deflating.compress(bytes(MEBIBYTE)) for _ in range(64)) + deflating.flush()
    bomb = deflated(body)
    assert len(bomb) < MEBIBYTE
    limit = 8 * MEBIBYTE
    peak = peak_memory(
        lambda: refused(
            bomb, ImageTooLarge, "more than 8,388,608 bytes, the limit", max_bytes=limit
        )
    )
    assert peak < 4 * limit


# ---- Any bytes at all ---------------------------------------------------------------------------

EXAMPLES: dict[str, bytes] = {
    "PNG": encoded(FILM),
    "PNG 16": encoded(DEEP),
    "JPEG": encoded(FILM, "JPEG"),
    "JPEG turned": lying(FILM, 6, "JPEG"),
    "JPEG progressive": encoded(FILM, "JPEG", progressive=True),
    "TIFF": encoded(FILM, "TIFF"),
    "TIFF LZW": encoded(FILM, "TIFF", compression="tiff_lzw"),
    "DICOM": dicom(FILM, **WINDOW, ViewPosition="PA", PixelSpacing=["1", "1"]),
    "DICOM deflated": dicom(FILM, TransferSyntaxUID="1.2.840.10008.1.2.1.99"),
    "DICOM JPEG": encapsulated(FILM, encoded(FILM, "JPEG"), JPEGBaseline8Bit),
    "DICOM JPEG 2000": compressed(dicom(FILM), LOSSLESS["JPEG 2000"]),
    "DICOM RLE": compressed(dicom(FILM), LOSSLESS["RLE"]),
}


def film_or_refusal(data: bytes) -> Radiograph | InputError:
    try:
        film = decode(data)
    except InputError as error:
        return error
    assert film.pixels.dtype == np.uint8
    assert film.pixels.ndim == 2
    return film


pytestmark = pytest.mark.filterwarnings(
    # damaged headers make both libraries talk; only what they raise matters here
    "ignore::UserWarning:pydicom",
    "ignore::UserWarning:PIL",
)


@pytest.mark.parametrize("name", EXAMPLES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_anywhere_is_a_film_or_a_refusal(name: str, share: float) -> None:
    data = EXAMPLES[name]
    film_or_refusal(data[: int(share * len(data))])


@pytest.mark.parametrize("name", EXAMPLES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_file_with_changed_bytes_is_a_film_or_a_refusal(name: str, data: st.DataObject) -> None:
    content = bytearray(EXAMPLES[name])
    # headers are where damage does most; so half of the changes fall into the first 600 bytes
    near = st.integers(0, min(600, len(content)) - 1)
    places = st.one_of(near, st.integers(0, len(content) - 1))
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3)
    ):
        content[place] = value
    film_or_refusal(bytes(content))


# GDCM, the only decoder of these, ends its process at such streams instead of raising: by SIGABRT
# (an assertion) or SIGSEGV, seen by running it in a forked child.
@pytest.mark.parametrize(
    ("name", "offset", "flip"),
    [
        ("JPEG lossless (selection value 1)", 15, 0x01),  # Huffman table: SIGABRT
        ("JPEG lossless (selection value 1)", 6, 0x10),  # precision of 24 bits: SIGSEGV
        ("JPEG-LS", 6, 0x10),  # precision of 24 bits: SIGABRT
    ],
)
def test_a_stream_at_which_gdcm_ends_its_process_is_refused(
    name: str, offset: int, flip: int
) -> None:
    content = bytearray(compressed(dicom(FILM), LOSSLESS[name]))
    content[content.index(b"\xff\xd8") + offset] ^= flip
    refused(bytes(content), UnreadableImage, r"the frame \(JPEG.*\) is damaged: GDCM cannot")


BEGINNINGS = (
    b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", bytes(128) + b"DICM",
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.binary(max_size=300), beginning=st.sampled_from(BEGINNINGS))
@example(data=b"", beginning=BEGINNINGS[-1])
def test_any_bytes_behind_any_beginning_are_refused(data: bytes, beginning: bytes) -> None:
    assert isinstance(film_or_refusal(beginning + data), InputError)


# ---- Real files ---------------------------------------------------------------------------------


def real(folder: Path, part: str) -> bytes:
    [path] = (folder / "dicom").glob(f"*{part}*")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["test1", "test2", "test4", "test6"])
def test_real_plain_8_bit_films_are_decoded(real_data: Path, name: str) -> None:
    film = decode(real(real_data, f"AIHCND_C2_Starter__{name}"))
    assert film.source_size == film.pixels.shape == (1024, 1024)
    assert film.photometric == "MONOCHROME2"
    assert film.spacing_mm is None  # their headers say 0
    assert film.pixels.std() > 30


def test_the_same_real_picture_under_two_headers_gives_the_same_pixels(real_data: Path) -> None:
    one, other = (decode(real(real_data, f"AIHCND_C2_Starter__{n}")) for n in ("test1", "test6"))
    np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_real_jpeg_compressed_film_is_decoded(real_data: Path) -> None:
    film = decode(real(real_data, "torchxrayvision"))
    assert (film.view, film.photometric, film.spacing_mm) == ("PA", "MONOCHROME2", (0.168, 0.168))
    assert film.pixels.shape == (1024, 1024)


def test_a_real_inverted_15_bit_jpeg_2000_film_is_turned(real_data: Path) -> None:
    film = decode(real(real_data, "RG1_J2KI"))
    assert (film.view, film.photometric) == ("PA", "MONOCHROME1")
    assert film.pixels.shape == (1955, 1841)
    # the shoulders' corners are air (black), the abdomen in the middle below is bright
    height, width = film.pixels.shape
    assert film.pixels[-height // 10 :, width // 3 : -width // 3].mean() > 150


def test_a_real_veterinary_film_is_decoded_for_others_to_judge(real_data: Path) -> None:
    film = decode(real(real_data, "highdicom"))
    assert film.photometric == "MONOCHROME1"
    assert film.pixels.shape == (169, 211)


def test_a_real_header_without_pixels_is_refused(real_data: Path) -> None:
    refused(real(real_data, "chrJapMulti"), UnsupportedImage, "no pixel data")


def test_originals_and_their_smaller_copies_give_the_same_input(real_data: Path) -> None:
    with (real_data / "originals" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::5]
    spec = PreprocessSpec()
    agreements = {
        row["file"]: correlation(
            preprocess(decode((real_data / "originals" / row["file"]).read_bytes()), spec),
            preprocess(decode((real_data / "nih14" / row["nih14_file"]).read_bytes()), spec),
        )
        for row in rows
    }
    assert {name: value for name, value in agreements.items() if value <= 0.99} == {}
