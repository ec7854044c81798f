"""Greyscale stored in colour, tinted photographs, and colour."""

import io
from typing import Any, NoReturn

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from tests.hostile import png_chunk
from tests.images import dicom, drawn_image, encapsulated, encoded, written
from tests.xemplar.imaging.samples import IMAGE, correlation, refused
from xemplar.errors import NotARadiograph, UnreadableImage
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

THREE = np.dstack([IMAGE] * 3)
TWELVE = IMAGE.astype(np.uint16) * 16
OWN = decode(dicom(TWELVE)).pixels
COLOUR = np.dstack([drawn_image(seed) for seed in (5, 6, 7)])
TINTS = {
    "daylight": (0.93, 0.97, 1.0),
    "lamp": (1.0, 0.92, 0.78),
    "tungsten": (1.0, 0.85, 0.6),
    "blue image base": (0.8, 0.95, 1.0),
    "green screen": (0.85, 1.0, 0.85),
}


def tinted(gain: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    """A photograph of IMAGE: tinted, darker to one side, and noisy."""
    light = np.linspace(1, 0.8, IMAGE.shape[1])[None, :, None]
    noise = np.random.default_rng(0).normal(0, 3, THREE.shape)
    return np.clip(THREE * light * gain + noise, 0, 255).astype(np.uint8)


# ---- Tint ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("gain", TINTS.values(), ids=TINTS)
def test_a_tinted_image_is_grey_with_a_warning(
    gain: tuple[float, float, float],
    format: str,  # noqa: A002
) -> None:
    image = decode(encoded(tinted(gain), format))
    assert correlation(image.pixels, IMAGE) > 0.95
    said = " ".join(image.warnings)
    assert ("is tinted" in said) == (np.ptp(np.multiply(gain, 120)) > 12)


@pytest.mark.parametrize("channel", range(3))
def test_an_image_with_a_slight_tint_is_its_luma_without_a_warning(channel: int) -> None:
    slightly = THREE.copy()
    slightly[..., channel] = np.minimum(IMAGE, 245) + 10
    image = decode(encoded(slightly))
    np.testing.assert_array_equal(image.pixels, Image.fromarray(slightly).convert("L"))
    assert image.warnings == ()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_colour_photograph_is_rejected(format: str) -> None:  # noqa: A002
    message = "in colour .channels differ by [0-9]+ of 255.*limits are 64 and 12"
    refused(encoded(COLOUR, format), NotARadiograph, message)


def test_a_picture_of_one_strong_colour_is_rejected() -> None:
    refused(encoded(tinted((1.0, 0.3, 0.1))), NotARadiograph, "in colour")


# ---- 16 bits of colour --------------------------------------------------------------------------


@pytest.mark.parametrize("format", [".png", ".tiff"])
@pytest.mark.parametrize("alpha", [False, True])
def test_12_bits_in_16_bits_of_colour_are_stretched_as_in_grey(format: str, alpha: bool) -> None:  # noqa: A002
    channels = [TWELVE] * 3 + [np.full_like(TWELVE, 65_535)] * alpha
    image = decode(cv2.imencode(format, np.dstack(channels))[1].tobytes())
    np.testing.assert_array_equal(image.pixels, OWN)


DEEP_COLOUR = cv2.imencode(".png", np.dstack([TWELVE] * 3))[1].tobytes()


def test_16_bits_of_colour_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By OpenCV: the largest image takes its time and memory twice otherwise."""

    def loaded(_: ImageFile) -> NoReturn:
        raise AssertionError("Pillow decoded it, too")

    monkeypatch.setattr(ImageFile, "load", loaded)
    np.testing.assert_array_equal(decode(DEEP_COLOUR).pixels, OWN)


@pytest.mark.parametrize("behind_the_pixels", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_of_colour_are_upright(orientation: int, behind_the_pixels: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    chunk = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    place = DEEP_COLOUR.index(b"IEND" if behind_the_pixels else b"IDAT") - 4
    image = decode(DEEP_COLOUR[:place] + chunk + DEEP_COLOUR[place:])
    stored = Image.fromarray(OWN)
    stored.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    assert image.source_size == image.pixels.shape == upright.shape
    assert correlation(image.pixels, upright) > 0.999


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_16_bits_of_colour_that_are_cut_short_are_rejected(share: float) -> None:
    refused(DEEP_COLOUR[: int(share * len(DEEP_COLOUR))], UnreadableImage, "damaged")


def test_16_bits_of_colour_that_differ_are_rejected() -> None:
    data = cv2.imencode(".png", COLOUR.astype(np.uint16) * 16)[1].tobytes()
    refused(data, NotARadiograph, "in colour")


# ---- DICOM --------------------------------------------------------------------------------------


def colour(pixels: npt.NDArray[Any], photometric: str, **fields: Any) -> bytes:
    fields = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, **fields}
    return dicom(pixels, PhotometricInterpretation=photometric, **fields)


YBR = np.dstack([IMAGE, np.full_like(IMAGE, 128), np.full_like(IMAGE, 128)])


def subsampled() -> bytes:
    """YBR_FULL_422: two Y, then the Cb and Cr that they share."""
    pairs = np.full((96, 40, 4), 128, np.uint8)
    pairs[..., :2] = IMAGE.reshape(96, 40, 2)
    return colour(THREE, "YBR_FULL_422", PixelData=pairs.tobytes())


NATIVE = {
    "RGB": colour(THREE, "RGB"),
    "RGB by plane": colour(
        THREE, "RGB", PlanarConfiguration=1, PixelData=np.moveaxis(THREE, -1, 0).tobytes()
    ),
    "YBR_FULL": colour(YBR, "YBR_FULL"),
    "YBR_FULL by plane": colour(
        YBR, "YBR_FULL", PlanarConfiguration=1, PixelData=np.moveaxis(YBR, -1, 0).tobytes()
    ),
    "YBR_FULL_422": subsampled(),
    "YBR_FULL_422 that is not subsampled": colour(YBR, "YBR_FULL_422"),
    "three samples that say MONOCHROME2": colour(THREE, "MONOCHROME2"),
    "one sample that says RGB": dicom(IMAGE, PhotometricInterpretation="RGB"),
}


@pytest.mark.parametrize("data", NATIVE.values(), ids=NATIVE)
def test_equal_channels_are_grey(data: bytes) -> None:
    image = decode(data).pixels.astype(int)
    assert np.abs(image - IMAGE).max() <= 1


def test_12_bits_in_16_bits_of_rgb_are_stretched_as_in_grey() -> None:
    image = decode(colour(np.dstack([TWELVE] * 3), "RGB"))
    np.testing.assert_array_equal(image.pixels, OWN)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "MONOCHROME2"])
def test_a_grey_jpeg_of_three_channels_is_grey(photometric: str) -> None:
    frame = encoded(THREE, "JPEG", quality=95)
    fields = {"SamplesPerPixel": 1 if photometric == "MONOCHROME2" else 3}
    data = encapsulated(IMAGE, frame, JPEGBaseline8Bit, PhotometricInterpretation=photometric,
                        PlanarConfiguration=0, **fields)  # fmt: skip
    assert np.abs(decode(data).pixels.astype(int) - IMAGE).max() <= 8


def test_a_jpeg_whose_channels_are_not_converted_is_grey() -> None:
    frame = encoded(THREE, "JPEG", quality=95, keep_rgb=True)
    data = encapsulated(IMAGE, frame, JPEGBaseline8Bit, PhotometricInterpretation="RGB",
                        PlanarConfiguration=0, SamplesPerPixel=3)  # fmt: skip
    assert np.abs(decode(data).pixels.astype(int) - IMAGE).max() <= 8


@pytest.mark.parametrize("photometric", ["YBR_ICT", "YBR_RCT", "RGB"])
@pytest.mark.parametrize("no_jp2", [True, False])
def test_a_grey_jpeg_2000_of_three_channels_is_grey(photometric: str, no_jp2: bool) -> None:
    frame = encoded(THREE, "JPEG2000", no_jp2=no_jp2)
    data = encapsulated(IMAGE, frame, JPEG2000Lossless, PhotometricInterpretation=photometric,
                        PlanarConfiguration=0, SamplesPerPixel=3)  # fmt: skip
    np.testing.assert_array_equal(decode(data).pixels, IMAGE)


def palette(bits: int, dtype: str, **channels: npt.NDArray[Any]) -> bytes:
    """IMAGE through palettes that store grey 255 - i at index i."""
    header = dcmread(io.BytesIO(dicom(255 - IMAGE, PhotometricInterpretation="PALETTE COLOR")))
    for name in ("Red", "Green", "Blue"):
        entries = channels.get(name, np.arange(256)[::-1] * (257 if bits == 16 else 1))
        header.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, bits])
        header.add_new(f"{name}PaletteColorLookupTableData", "OW", entries.astype(dtype).tobytes())
    return written(header)


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (8, "<u2"), (16, "<u2")])
def test_a_grey_palette_is_grey(bits: int, dtype: str) -> None:
    image = decode(palette(bits, dtype)).pixels
    assert correlation(image, IMAGE) > 0.9999


def test_true_colour_in_dicom_is_rejected() -> None:
    refused(colour(COLOUR, "RGB"), NotARadiograph, "in colour")
    red = palette(8, "u1", Red=np.full(256, 255), Blue=np.zeros(256))
    refused(red, NotARadiograph, "in colour")


def test_a_palette_that_is_missing_is_told() -> None:
    data = dicom(IMAGE, PhotometricInterpretation="PALETTE COLOR")
    refused(data, UnreadableImage, "cannot be decoded")


def test_a_tinted_dicom_image_is_grey_with_a_warning() -> None:
    image = decode(colour(tinted(TINTS["lamp"]), "RGB"))
    assert correlation(image.pixels, IMAGE) > 0.95
    assert "is tinted" in image.warnings[0]
