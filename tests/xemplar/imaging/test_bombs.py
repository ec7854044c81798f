"""Decompression bombs are rejected."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from pydicom import dcmread

from tests.images import dicom
from tests.xemplar.imaging.samples import IMAGE, MEBIBYTE, peak_memory, refused
from xemplar.errors import (
    ImageTooLarge,
    UnreadableImage,
    UnsupportedImage,
)
from xemplar.imaging import decode


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
def test_a_picture_of_too_many_pixels_is_rejected_before_it_is_decoded(data: bytes) -> None:
    assert len(data) < MEBIBYTE
    assert peak_memory(lambda: refused(data, ImageTooLarge, "pixels")) < 8 * MEBIBYTE


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + data[-2:]


def test_a_jpeg_of_many_scans_is_rejected_before_it_is_decoded() -> None:
    assert decode(progressive(0)).format == "JPEG"
    refused(progressive(300), UnreadableImage, "more than 100 JPEG scans")


def test_the_directories_of_a_tiff_are_not_counted() -> None:
    file = io.BytesIO()
    picture = Image.fromarray(IMAGE)
    picture.save(file, "TIFF", save_all=True, append_images=[picture] * 500)
    read = []
    with pytest.MonkeyPatch.context() as patch:
        step = TiffImageFile._seek
        patch.setattr(TiffImageFile, "_seek", lambda image, n: (read.append(n), step(image, n)))
        refused(file.getvalue(), UnsupportedImage, "more than one picture")
    assert max(read, default=0) <= 1


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_of_a_png_that_inflates_without_end_is_never_inflated(kind: bytes) -> None:
    compressed = zlib.compress(bytes(64 * MEBIBYTE))
    text = b"Comment\0" + {b"iTXt": b"\1\0\0\0"}.get(kind, b"\0") + compressed
    rows = b"".join(b"\0" + row.tobytes() for row in IMAGE)
    data = png(80, 96, (kind, text), (b"IDAT", zlib.compress(rows)), (kind, text))
    images = []
    assert peak_memory(lambda: images.append(decode(data))) < 8 * MEBIBYTE
    np.testing.assert_array_equal(images[0].pixels, IMAGE)


def deflated(body: bytes) -> bytes:
    """A DICOM file whose data set is this raw DEFLATE stream (PS3.5 A.5)."""
    plain = dicom(IMAGE, TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    length = int.from_bytes(plain[140:144], "little")
    return plain[: 144 + length] + body


def test_a_deflated_dicom_image_equals_the_plain_one() -> None:
    plain = dicom(IMAGE, TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    np.testing.assert_array_equal(decode(plain).pixels, IMAGE)


def test_a_deflated_dicom_data_set_that_inflates_without_end_is_rejected() -> None:
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


def test_of_thousands_of_windows_only_the_first_are_tried() -> None:
    header = {"WindowCenter": ["-600"] * 5_000 + ["120"], "WindowWidth": ["2"] * 5_000 + ["200"]}
    radiograph = decode(dicom(IMAGE, **header))
    assert len(radiograph.warnings) == 1


def test_of_millions_of_values_only_the_first_are_read() -> None:
    # 32 MiB in a place for one number: as Python's numbers they would take a gibibyte
    header = dcmread(io.BytesIO(dicom(IMAGE)))
    header.add_new("PixelPaddingValue", "UN", bytes(32 * MEBIBYTE))
    file = io.BytesIO()
    header.save_as(file)
    data = file.getvalue()
    assert peak_memory(lambda: decode(data)) < 100 * MEBIBYTE
