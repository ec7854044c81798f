"""DICOM: compressed pixels."""

import io
import shutil
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.images import compressed, dicom, drawn_image, encapsulated, encoded, written
from tests.xemplar.imaging.samples import (
    IMAGE,
    LOSSLESS,
    MEBIBYTE,
    correlation,
    painted,
    peak_memory,
    refused,
)
from xemplar.errors import InputError, UnreadableImage
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_a_losslessly_compressed_image_equals_the_plain_one(syntax: int, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    plain = dicom((IMAGE.astype(np.uint16) << (bits - 8)).astype(dtype), BitsStored=bits)
    np.testing.assert_array_equal(decode(compressed(plain, syntax)).pixels, decode(plain).pixels)


@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_signed_values_are_kept_by_every_lossless_compression(syntax: int) -> None:
    plain = dicom((IMAGE.astype(np.int16) - 128) * 16, BitsStored=12)
    np.testing.assert_array_equal(decode(compressed(plain, syntax)).pixels, decode(plain).pixels)


def test_jpeg_baseline_is_decoded() -> None:
    frame = encoded(IMAGE, "JPEG", quality=95)
    image = decode(encapsulated(IMAGE, frame, JPEGBaseline8Bit)).pixels
    assert np.abs(image.astype(int) - IMAGE).max() <= 8


def test_lossy_jpeg_2000_is_decoded() -> None:
    data = compressed(dicom(IMAGE), gdcm.TransferSyntax.JPEG2000)
    assert correlation(decode(data).pixels, IMAGE) > 0.999


def test_fill_bytes_and_restart_intervals_in_a_jpeg_stream_are_understood() -> None:
    frame = encoded(IMAGE, "JPEG", quality=95, restart_marker_blocks=4)
    filled = frame[:2] + b"\xff\xff" + frame[2:]
    image = decode(encapsulated(IMAGE, filled, JPEGBaseline8Bit)).pixels
    assert np.abs(image.astype(int) - IMAGE).max() <= 8


LARGE = drawn_image(4, height=512, width=512)


def jpeg_2000(pixels: npt.NDArray[Any]) -> bytes:
    return encoded(pixels, "JPEG2000", no_jp2=True)


def jpeg_ls(pixels: npt.NDArray[Any]) -> bytes:
    header = dcmread(io.BytesIO(compressed(dicom(pixels), gdcm.TransferSyntax.JPEGLSLossless)))
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
def test_a_codestream_larger_than_its_header_says_is_rejected(frame: bytes, syntax: str) -> None:
    with pytest.raises(UnreadableImage, match=r"512 x 512 x 1.*but its header says 96 x 80"):
        decode(encapsulated(IMAGE, frame, syntax))


def test_a_codestream_of_four_samples_is_rejected() -> None:
    frame = painted(Image.fromarray(IMAGE).convert("CMYK"), "JPEG")
    with pytest.raises(UnreadableImage, match="96 x 80 x 4"):
        decode(encapsulated(IMAGE, frame, JPEGBaseline8Bit))


def test_a_large_codestream_behind_a_small_decoy_is_rejected() -> None:
    # a JP2 box in front, whose content looks like the beginning of a codestream of the right size
    decoy = jpeg_2000(IMAGE)[:60]
    box = struct.pack(">I4s", 8 + len(decoy), b"free") + decoy
    with pytest.raises(UnreadableImage, match="no readable size"):
        decode(encapsulated(IMAGE, box + encoded(LARGE, "JPEG2000"), JPEG2000Lossless))


def test_a_large_codestream_that_a_table_of_places_points_to_is_rejected() -> None:
    header = dcmread(io.BytesIO(encapsulated(IMAGE, encoded(IMAGE, "JPEG"), JPEGBaseline8Bit)))
    from pydicom.encaps import encapsulate

    small, large = encoded(IMAGE, "JPEG"), encoded(LARGE, "JPEG")
    small += b"\0" * (len(small) % 2)
    header.PixelData = encapsulate([small, large], has_bot=False)
    header.NumberOfFrames = 1
    header.ExtendedOffsetTable = struct.pack("<Q", 8 + len(small))
    header.ExtendedOffsetTableLengths = struct.pack("<Q", len(large))
    file = io.BytesIO()
    header.save_as(file, enforce_file_format=True)
    image = decode(file.getvalue())
    assert image.pixels.shape == (96, 80)


def rle(segment: bytes) -> bytes:
    """An RLE frame of one segment (PS3.5 G.3)."""
    return struct.pack("<16L", 1, 64, *[0] * 14) + segment


@pytest.mark.parametrize(
    "segment",
    [b"\x81\x00" * 500_000, b"\x80" * 1_000_000, b"\x00\x07" * 500_000],
    ids=["64 million zeros", "nothing but no-operations", "single bytes"],
)
def test_an_rle_frame_of_more_than_its_pixels_is_rejected_in_bounded_memory(segment: bytes) -> None:
    data = encapsulated(IMAGE, rle(segment), RLELossless)
    peak = peak_memory(
        lambda: refused(data, InputError, "constant|cannot be decoded|longer than its pixels")
    )
    assert peak < 8 * MEBIBYTE


def test_an_rle_run_that_begins_beyond_the_image_is_rejected() -> None:
    # two segments of a 16-bit image; the library for it panics
    deep = IMAGE.astype(np.uint16)
    segment = b"\x81\x07" * (1 + IMAGE.size // 128)
    frame = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    refused(encapsulated(deep, frame, RLELossless), UnreadableImage, "damaged|cannot be decoded")


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_an_rle_frame_that_is_cut_short_is_rejected(cut: float) -> None:
    image = compressed(dicom(IMAGE), gdcm.TransferSyntax.RLELossless)
    frame = get_frame(dcmread(io.BytesIO(image)).PixelData, 0, number_of_frames=1)
    short = encapsulated(IMAGE, frame[: int(cut * len(frame))], RLELossless)
    refused(short, UnreadableImage, "cannot be decoded")


# ---- Frames that are not quite what their header says -------------------------------------------

TWELVE = IMAGE.astype(np.uint16) * 16  # 12 bits
DEEP_HEADER = {"BitsStored": 12}


def extended() -> bytes:
    """IMAGE at 12 bits as JPEG Extended, which no Python library encodes: by dcmtk."""
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk is not installed: nothing encodes JPEG Extended with 12 bits")
    with TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain.dcm", Path(folder) / "packed.dcm"
        plain.write_bytes(dicom(TWELVE, **DEEP_HEADER))
        subprocess.run(["dcmcjpeg", "+ee", "+q", "95", plain, packed], check=True)
        return packed.read_bytes()


def test_jpeg_extended_of_12_bits_is_decoded() -> None:
    plain = decode(dicom(TWELVE, **DEEP_HEADER)).pixels
    assert np.abs(decode(extended()).pixels.astype(int) - plain).max() <= 8


def test_a_jp2_file_around_a_jpeg_2000_stream_is_decoded() -> None:
    image = encapsulated(TWELVE, painted(Image.fromarray(TWELVE), "JPEG2000"), JPEG2000Lossless)
    np.testing.assert_array_equal(decode(image).pixels, decode(dicom(TWELVE)).pixels)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": "2048", "WindowWidth": "4096"}])
def test_a_frame_of_8_bits_under_a_header_of_12_is_read_as_8_bits(window: dict[str, str]) -> None:
    frame = encoded(IMAGE, "JPEG", quality=95)
    image = decode(encapsulated(TWELVE, frame, JPEGBaseline8Bit, **DEEP_HEADER, **window))
    assert np.abs(image.pixels.astype(int) - IMAGE).max() <= 8


@pytest.mark.parametrize(
    "syntax", [JPEGExtended12Bit, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless, RLELossless,
               ExplicitVRLittleEndian],
)  # fmt: skip
def test_the_frame_tells_its_coding_whatever_the_transfer_syntax_says(syntax: str) -> None:
    image = decode(encapsulated(IMAGE, encoded(IMAGE, "JPEG", quality=95), syntax))
    assert np.abs(image.pixels.astype(int) - IMAGE).max() <= 8


STREAMS = {
    "JPEG": (encoded(IMAGE, "JPEG", quality=95), JPEGBaseline8Bit, 8),
    "JPEG 2000": (jpeg_2000(IMAGE), JPEG2000Lossless, 0),
    "JPEG-LS": (jpeg_ls(IMAGE), JPEGLSLossless, 0),
    "JPEG lossless": (
        get_frame(
            dcmread(
                io.BytesIO(compressed(dicom(IMAGE), LOSSLESS["JPEG lossless (selection value 1)"]))
            ).PixelData,
            0,
            number_of_frames=1,
        ),
        JPEGLosslessSV1,
        0,
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_missing_end_marker_is_no_reason_to_refuse(name: str) -> None:
    frame, syntax, off = STREAMS[name]
    whole = frame[: frame.rindex(b"\xff\xd9")]
    image = decode(encapsulated(IMAGE, whole, syntax))
    assert np.abs(image.pixels.astype(int) - IMAGE).max() <= off
    assert "lack their end" in image.warnings[0]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_short_is_rejected(name: str, share: float) -> None:
    frame, syntax, _ = STREAMS[name]
    short = encapsulated(IMAGE, frame[: int(share * len(frame))], syntax)
    refused(short, UnreadableImage, "cut short|damaged")


def test_compressed_pixels_without_a_delimiter_at_the_end_of_the_file_are_read() -> None:
    image = compressed(dicom(IMAGE), gdcm.TransferSyntax.JPEG2000Lossless)
    assert image.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    np.testing.assert_array_equal(decode(image[:-8]).pixels, IMAGE)


@pytest.mark.parametrize(
    "table",
    [b"", bytes(4), struct.pack("<L", 12345), struct.pack("<2L", 0, 100), bytes(6), b"\xff" * 4],
    ids=["empty", "right", "beyond the end", "two frames", "no multiple of 4", "all ones"],
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_table_of_offsets_says_nothing_of_a_single_frame(table: bytes, pieces: int) -> None:
    frame = encoded(IMAGE, "JPEG", quality=95)
    frame += bytes(len(frame) % 2)
    length = -(-len(frame) // pieces // 2) * 2
    fragments = [frame[start : start + length] for start in range(0, len(frame), length)]
    items = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE000, len(part)) + part for part in (table, *fragments)
    )
    header = dcmread(io.BytesIO(encapsulated(IMAGE, frame, JPEGBaseline8Bit)))
    header.PixelData = items
    assert correlation(decode(written(header)).pixels, IMAGE) > 0.99


def test_grey_in_lossless_jpeg_of_three_channels_is_decoded() -> None:
    colour = dicom(
        np.stack([IMAGE] * 3, axis=2), SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0, Rows=96, Columns=80,
    )  # fmt: skip
    image = decode(compressed(colour, gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    np.testing.assert_array_equal(image.pixels, IMAGE)


def test_a_stream_in_colour_under_a_header_in_grey_is_shown_as_the_header_says() -> None:
    frame = painted(Image.fromarray(255 - IMAGE).convert("RGB"), "JPEG", quality=95)
    image = decode(
        encapsulated(IMAGE, frame, JPEGBaseline8Bit, PhotometricInterpretation="MONOCHROME1")
    )
    assert correlation(image.pixels, IMAGE) > 0.99
