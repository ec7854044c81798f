"""Files with too many parts are rejected before a library parses them."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest

from tests import hostile
from tests.images import dicom, drawn_image, encoded
from tests.xemplar.imaging.samples import refused
from xemplar.errors import InputError, UnreadableImage, UnsupportedImage
from xemplar.imaging import Limits, decode
from xemplar.imaging.decoder_pool import DecodingPool

MEBIBYTE = 2**20


def exif(count: int, size: int = 1) -> bytes:
    return hostile.overlapping_fields(size, count)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (hostile.png_chunks(b"prVt", 65_537), "65,536 PNG chunks"),
        (hostile.png_with_exif(exif(1_001)), "1,000 fields"),
        (hostile.png_with_exif(exif(900, 100_000)), "bytes in the fields"),
        (hostile.jpeg_segments(b"\xff\xfe\0\2" * 1_001), "1,000 JPEG segments"),
        (hostile.jpeg_segments(b"\xff\0" * 3_000), "4,096 bytes between its JPEG segments"),
        (hostile.jpeg_segments(b"\xff" * 5_000), "4,096 bytes between its JPEG segments"),
        (hostile.scans_without_end(101, 200), "100 JPEG scans"),
        (hostile.scans_without_end(40, 5_000), "40 JPEG scans"),
        (hostile.tiff_pieces(20_032), "20,000 TIFF strips or tiles"),
        (hostile.tiff_pieces(320, tiled=True), "20,000 TIFF strips or tiles"),
        (hostile.dicom_with(b"\x19\0\1\0LO\0\0" * 20_001, 0x28), "20,000 DICOM elements"),
        (hostile.nested(10_001), "20,000 DICOM elements"),
        (hostile.meta_elements(20_001), "20,000 DICOM elements"),
        (hostile.fragments(0, 20_001), "20,000 DICOM elements, items or fragments"),
        (hostile.fragments(1_025, 1), "4,096 bytes in its offsets"),
        (hostile.in_dicom(hostile.jpeg_2000(250, 1, 1), 250, hostile.JPEG2000), "tiles"),
        (hostile.in_dicom(hostile.jpeg_2000(512, 512, 65_535), 512, hostile.JPEG2000), "packets"),
        (
            hostile.in_dicom(hostile.scans_without_end(101), 1024, hostile.JPEGBaseline8Bit),
            "100 JPEG scans",
        ),
    ],
)
def test_too_many_parts_are_rejected(data: bytes, what: str) -> None:
    refused(data, UnreadableImage, f"more than .*{what}")


def test_a_tiff_of_several_directories_is_rejected() -> None:
    refused(hostile.tiff_directories(2), UnsupportedImage, "the TIFF holds more than one picture")


def items(count: int) -> bytes:
    body = hostile.EMPTY_ITEM * count
    return hostile.VIEW_CODES + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("deflated", [False, True])
def test_items_of_deflated_data_sets_are_counted(deflated: bool) -> None:
    refused(hostile.dicom_with(items(20_001), 0x28, deflated), UnreadableImage, "items")
    assert decode(hostile.dicom_with(items(1_000), 0x28, deflated)).format == "DICOM"


@pytest.mark.parametrize(
    "data",
    [
        hostile.png_chunks(b"prVt", 1_000),
        hostile.png_with_exif(exif(20)),
        hostile.jpeg_segments(b"\xff\xfe\0\2" * 300),
        hostile.jpeg_segments(b"\xff" * 100),
        hostile.scans_without_end(20),
        hostile.tiff_directories(1),
        hostile.tiff_pieces(10_048),
        hostile.dicom_with(b"\x19\0\1\0LO\0\0" * 5_000, 0x28),
        hostile.dicom_with(b"\x19\0\1\0UN\0\0" + struct.pack("<I", MEBIBYTE) + bytes(MEBIBYTE)),
    ],
)
def test_realistic_numbers_of_parts_are_accepted(data: bytes) -> None:
    assert decode(data).pixels.shape


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    with DecodingPool(1, Limits()) as opened:
        opened(hostile.IMAGE)
        yield opened


@pytest.mark.system
@pytest.mark.parametrize("make", hostile.BOMBS.values(), ids=hostile.BOMBS)
def test_a_bomb_takes_a_worker_little_time_and_memory(
    make: Callable[[], bytes], pool: DecodingPool
) -> None:
    data = make()
    (worker,) = pool.processes
    before = hostile.processor_seconds(worker)
    with suppress(InputError):
        pool(data)
    assert pool.processes == [worker]  # none had to be killed
    assert hostile.processor_seconds(worker) - before < 2
    assert hostile.peak_memory(worker) < 300 * MEBIBYTE


@pytest.mark.system
def test_time_and_memory_are_in_proportion_to_the_pixels_that_an_image_declares() -> None:
    with DecodingPool(1, Limits(), max_memory=240 * MEBIBYTE) as one:
        small = encoded(drawn_image(1, 2000, 2000).astype(np.uint16) * 200)
        assert one(small).pixels.shape == (2000, 2000)
        with pytest.raises(UnreadableImage, match="more memory than allowed for its size"):
            one(encoded(drawn_image(1, 6000, 6000).astype(np.uint16) * 200, compress_level=1))
        assert one(dicom(drawn_image(1, 3000, 3000))).pixels.shape == (3000, 3000)
        assert one(small).sha256
