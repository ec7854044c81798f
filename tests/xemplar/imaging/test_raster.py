"""PNG, JPEG and TIFF decode to 8-bit grey with EXIF rotation applied."""

import struct
from zlib import crc32

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.images import drawn_image, encoded
from tests.xemplar.imaging.samples import (
    DEEP,
    GREY,
    IMAGE,
    MEBIBYTE,
    STORED,
    correlation,
    lying,
    painted,
)
from xemplar.errors import (
    UnreadableImage,
    UnsupportedImage,
)
from xemplar.imaging import decode


def palette() -> Image.Image:
    """IMAGE through a palette that stores grey 255 - i at index i."""
    image = Image.fromarray(255 - IMAGE).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([255 - value for value in range(256) for _ in range(3)])
    return image


ALPHA = Image.fromarray(np.full_like(IMAGE, 128))


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
    radiograph = decode(painted(image))
    np.testing.assert_array_equal(radiograph.pixels, IMAGE)
    assert (radiograph.format, radiograph.source_size, radiograph.pixels.dtype) == (
        "PNG",
        (96, 80),
        np.uint8,
    )


def test_a_palette_png_with_a_transparency_for_every_colour_keeps_its_grey_values() -> None:
    radiograph = decode(painted(palette(), transparency=bytes(range(256))))
    np.testing.assert_array_equal(radiograph.pixels, IMAGE)


def test_a_1_bit_png_becomes_black_and_white() -> None:
    radiograph = decode(painted(Image.fromarray(IMAGE > 128)))
    np.testing.assert_array_equal(radiograph.pixels, np.where(IMAGE > 128, 255, 0))


def test_a_png_with_long_text_is_decoded() -> None:
    text = PngInfo()
    for number in range(40):
        text.add_text(f"zipped {number}", "x" * 3 * MEBIBYTE, zip=True)
    text.add_text("plain", "x" * 3 * MEBIBYTE)
    text.add_itxt("international", "x" * 3 * MEBIBYTE, zip=True)
    data = painted(GREY, pnginfo=text, icc_profile=bytes(3 * MEBIBYTE))
    np.testing.assert_array_equal(decode(data).pixels, IMAGE)


@pytest.mark.parametrize("cut", [4, 12])
def test_a_png_without_its_end_is_decoded(cut: int) -> None:
    np.testing.assert_array_equal(decode(painted(GREY)[:-cut]).pixels, IMAGE)


def test_a_16_bit_png_is_stretched_between_its_percentiles() -> None:
    low, high = np.percentile(DEEP[::4, ::4], (0.5, 99.5))
    wanted = np.clip((DEEP - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(decode(encoded(DEEP)).pixels, wanted, atol=0.51)


@pytest.mark.parametrize("border", [0, 65_535])
def test_a_border_does_not_spoil_the_contrast_of_a_deep_image(border: int) -> None:
    pixels = IMAGE.astype(np.uint16) + 30_000
    pixels[:20] = border
    radiograph = decode(encoded(pixels)).pixels
    assert radiograph[20:].std() > 40
    assert (radiograph[:20] == (255 if border else 0)).all()


def test_a_16_bit_image_with_two_values_is_stretched_between_them() -> None:
    # one bright pixel is beyond both percentiles, which are then equal
    pixels = np.full((96, 80), 300, np.uint16)
    pixels[50, 50] = 900
    radiograph = decode(encoded(pixels)).pixels
    assert (radiograph[50, 50], radiograph[0, 0]) == (255, 0)


def test_the_identity_is_the_sha256_of_the_bytes() -> None:
    # sha256sum of the file with these bytes
    import hashlib

    data = encoded(IMAGE)
    assert decode(data).sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_in_grey_is_decoded_from_any_colour_model(mode: str) -> None:
    radiograph = decode(painted(GREY.convert("RGB").convert(mode), "JPEG", quality=95))
    assert radiograph.format == "JPEG"
    assert np.abs(radiograph.pixels.astype(int) - IMAGE).max() <= 8


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_is_applied(orientation: int, format: str) -> None:  # noqa: A002
    radiograph = decode(lying(IMAGE, orientation, format))
    assert radiograph.source_size == radiograph.pixels.shape == (96, 80)
    assert np.abs(radiograph.pixels.astype(int) - IMAGE).max() <= 8


@pytest.mark.parametrize("orientation", STORED)
def test_a_big_jpeg_is_decoded_smaller_and_keeps_its_source_size(orientation: int) -> None:
    # one pixel from square: at half the size it is square
    big = drawn_image(2, height=2050, width=2049)
    radiograph = decode(lying(big, orientation, "JPEG"))
    assert radiograph.source_size == (2050, 2049)
    assert radiograph.pixels.shape == (1025, 1025)
    assert correlation(radiograph.pixels, big[::2, ::2]) > 0.999


def test_a_jpeg_is_never_decoded_below_1024_pixels() -> None:
    radiograph = decode(encoded(drawn_image(2, height=2040, width=3000), "JPEG"))
    assert radiograph.pixels.shape == radiograph.source_size == (2040, 3000)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("cut", [2, 3, 20])
def test_a_jpeg_without_its_end_is_decoded_with_a_warning(mode: str, cut: int) -> None:
    whole = painted(GREY.convert(mode), "JPEG", quality=95)
    radiograph = decode(whole[:-cut])
    different = radiograph.pixels != decode(whole).pixels
    assert different.sum() <= 2 * 16 * 16
    assert "lack their end" in radiograph.warnings[0]


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_short_is_rejected(share: float, progressive: bool) -> None:
    whole = painted(GREY, "JPEG", quality=95, progressive=progressive)
    with pytest.raises(UnreadableImage, match=r"cut short: [0-9]+% of the image is missing"):
        decode(whole[: int(share * len(whole))])


def test_a_jpeg_with_bytes_behind_its_end_is_decoded() -> None:
    whole = painted(GREY, "JPEG", quality=95)
    radiograph = decode(whole + bytes(10_000))
    np.testing.assert_array_equal(radiograph.pixels, decode(whole).pixels)
    assert radiograph.warnings == ()


def test_a_damaged_exif_block_is_no_reason_to_refuse_or_to_crash() -> None:
    data = lying(IMAGE, 6, "JPEG")
    assert data.count(b"II*\0") + data.count(b"MM\0*") == 1
    damaged = data.replace(b"II*\0", b"II?\0").replace(b"MM\0*", b"MM\0?")
    assert decode(damaged).pixels.shape == (80, 96)  # as it is stored


def test_a_png_whose_exif_block_is_no_exif_is_decoded() -> None:
    block = b"eXIf" + b"no TIFF header"
    chunk = struct.pack(">L", len(block) - 4) + block + struct.pack(">L", crc32(block))
    data = painted(GREY)
    np.testing.assert_array_equal(decode(data[:33] + chunk + data[33:]).pixels, IMAGE)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_an_8_bit_tiff_keeps_its_grey_values(compression: str) -> None:
    radiograph = decode(encoded(IMAGE, "TIFF", compression=compression))
    np.testing.assert_array_equal(radiograph.pixels, IMAGE)
    assert radiograph.format == "TIFF"


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_deep_tiff_is_stretched(dtype: type) -> None:
    radiograph = decode(encoded(IMAGE.astype(dtype) * 10, "TIFF"))
    assert correlation(radiograph.pixels, IMAGE) > 0.999
    assert (radiograph.pixels.min(), radiograph.pixels.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_inverted(dtype: type) -> None:
    stored = (IMAGE.astype(dtype) * (np.iinfo(dtype).max // 255)).astype(dtype)
    data = bytearray(encoded(np.iinfo(dtype).max - stored, "TIFF"))
    entry = data.index(struct.pack("<HHI", 262, 3, 1))  # tag, SHORT, one value: BlackIsZero
    assert data[entry + 8] == 1
    data[entry + 8] = 0
    assert correlation(decode(bytes(data)).pixels, IMAGE) > 0.999


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tiff_with_nan_or_infinity_is_rejected(value: float) -> None:
    pixels = IMAGE.astype(np.float32)
    pixels[3, 4] = value
    with pytest.raises(UnreadableImage, match="no numbers"):
        decode(encoded(pixels, "TIFF"))


@pytest.mark.parametrize("format", ["TIFF", "PNG"])
def test_several_pictures_in_one_file_are_rejected(format: str) -> None:  # noqa: A002
    other = Image.fromarray(drawn_image(3))
    data = painted(GREY, format, save_all=True, append_images=[other])
    with pytest.raises(UnsupportedImage, match=f"the {format} holds more than one picture; send"):
        decode(data)


def test_a_tiff_of_32_unsigned_bits_keeps_its_order() -> None:
    # OpenCV writes these, Pillow does not
    deep = IMAGE.astype(np.int64) * 16_843_009
    file = painted(Image.fromarray(deep.astype(np.uint32).view(np.int32)), "TIFF")
    unsigned = file.replace(SIGNED, UNSIGNED)
    assert unsigned != file
    assert correlation(decode(unsigned).pixels, IMAGE) > 0.99


SIGNED, UNSIGNED = (struct.pack("<HHLHH", 339, 3, 1, form, 0) for form in (2, 1))
"""The sample format of a TIFF (TIFF 6.0, tag 339)."""
