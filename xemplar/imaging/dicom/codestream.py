"""Decodes compressed DICOM pixels; checks their declared size before decompression."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import UnreadableImage
from xemplar.imaging.dicom.codecs import (
    JPEG_2000,
    SOF_JPEG_LS,
    Declared,
    decode_by_pydicom,
    decode_codestream,
)
from xemplar.imaging.dicom.image_pixel import ImagePixel
from xemplar.imaging.structure.jpeg import check_jpeg, check_scans
from xemplar.imaging.structure.jpeg2000 import check_packets

if TYPE_CHECKING:
    from pydicom import Dataset

JPEG_START, JPEG_2000_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "

END = b"\xff\xd9"
"""The marker that ends a JPEG, JPEG-LS or JPEG 2000 stream."""

MISSING = 0.01
"""Maximum share of an image that may be missing at the end of its data."""

JPEG_BLOCK = 16 * 16
"""Pixels per block of a JPEG with subsampled colour; a missing end damages the last block."""

Pixels = npt.NDArray[Any]


def decode_frame(
    header: "Dataset", pixel: ImagePixel
) -> tuple[Pixels, ImagePixel, tuple[str, ...]]:
    """Decode the single compressed frame by its content, as the transfer syntax may be wrong.

    Returns:
        Integers (rows, columns), or RGB (rows, columns, 3); their pixel description; and warnings.

    Raises:
        UnreadableImage: damaged, or a size that differs from the header (a decompression bomb).
        UnsupportedImage: an unsupported coding.
    """
    from pydicom.encaps import generate_fragments
    from pydicom.uid import RLELossless

    # a single frame does not need the offset table (the first item)
    _, *fragments = generate_fragments(header.get_item("PixelData").value)
    frame = b"".join(fragments)
    if frame.startswith(JP2_START):
        # decode exactly the stream whose size is checked
        frame = frame[max(frame.find(JPEG_2000_START), 0) :]
    if frame.startswith(JPEG_START):
        check_jpeg(frame)
    declared = _declared(frame)
    if declared is None:
        syntax = header.file_meta.get("TransferSyntaxUID", RLELossless)
        if syntax != RLELossless and frame[:8] != struct.pack("<2L", frame[0] if frame else 0, 64):
            raise UnreadableImage(
                "the compressed frame declares no readable size; it is damaged, or of a "
                "coding other than RLE, JPEG, JPEG-LS and JPEG 2000"
            )
        if (
            len(frame)
            > 2 * pixel.rows * pixel.columns * pixel.samples * pixel.allocated // 8 + 4096
        ):
            raise UnreadableImage(
                "the RLE frame is longer than its pixels would be without compression; it is "
                "damaged: export the image again"
            )
        return _run_lengths(frame, pixel), pixel, ()
    if declared[:2] != (pixel.rows, pixel.columns) or declared.samples not in (1, 3):
        raise UnreadableImage(
            "the compressed frame declares {} x {} x {} (rows x columns x samples), ".format(
                *declared
            )
            + f"but its header says {pixel.rows} x {pixel.columns} x {pixel.samples}"
        )
    if declared.coding == JPEG_2000:
        check_packets(frame)
    else:
        check_scans(frame, declared.rows * declared.columns)
    stored = min(declared.precision, pixel.stored)
    pixel = replace(pixel, samples=declared.samples, stored=stored, high=stored - 1)
    fills_up = declared.coding not in (JPEG_2000, SOF_JPEG_LS)
    pixels, warnings = with_end(
        frame, lambda whole: decode_codestream(whole, declared, pixel), fills_up
    )
    return pixels, pixel, warnings


def _run_lengths(frame: bytes, pixel: ImagePixel) -> Pixels:
    """Decode RLE (PS3.5 annex G)."""
    from pydicom.uid import RLELossless

    try:
        return decode_by_pydicom(frame, RLELossless, pixel, "pylibjpeg")
    except BaseException as error:
        # runs beyond the end of the image make the Rust code panic, which is not an `Exception`
        if type(error).__name__ != "PanicException":
            raise
        raise UnreadableImage(
            "the RLE frame is damaged: it has more pixels than its header says; export it again"
        ) from error


def with_end(
    frame: bytes, decode: Callable[[bytes], Pixels], fills_up: bool = True
) -> tuple[Pixels, tuple[str, ...]]:
    """Decode a stream that may lack its end marker.

    Args:
        frame: the stream.
        decode: decodes a complete stream.
        fills_up: whether the decoder fills in missing pixels. If so, the stream is decoded with two
            different endings: pixels that differ are missing.

    Raises:
        UnreadableImage: more than `MISSING` of the image is missing, and more than two blocks.
    """
    if END in frame[-4096:]:
        return decode(frame), ()
    warnings = ("the compressed pixels lack their end; the last of them may be wrong",)
    cut = frame.removesuffix(b"\xff")
    if not fills_up:
        try:
            return decode(cut + END), warnings
        except (OSError, RuntimeError):  # odd length, padded to an even one (PS3.5 A.4)
            return decode(cut.removesuffix(b"\0") + END), warnings
    pixels, other = decode(cut + END), decode(cut + b"\x55\x2a" * len(cut) + END)
    missing = np.count_nonzero((pixels != other).reshape(*pixels.shape[:2], -1).any(axis=2))
    count = pixels.shape[0] * pixels.shape[1]
    if missing > max(MISSING * count, 2 * JPEG_BLOCK):
        raise UnreadableImage(
            f"the compressed pixels are cut short: {missing / count:.0%} of the image is missing; "
            "export the image again"
        )
    return pixels, warnings


def _declared(frame: bytes) -> Declared | None:
    """Read the declared size of a JPEG, JPEG-LS or JPEG 2000 stream.

    Markers: ITU-T T.81 B.2.2 (SOFn), T.87 C.1.1 (SOF55), T.800 A.5.1 (SIZ).
    """
    if frame.startswith(JPEG_2000_START) and len(frame) >= 43:
        x1, y1, x0, y0 = struct.unpack(">4L", frame[8:24])
        samples, precision = int.from_bytes(frame[40:42], "big"), (frame[42] & 0x7F) + 1
        return Declared(y1 - y0, x1 - x0, samples, precision, JPEG_2000)
    offset = 2
    while frame.startswith(JPEG_START) and offset + 10 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == SOF_JPEG_LS:
            precision, rows, columns, samples = struct.unpack(
                ">BHHB", frame[offset + 4 : offset + 10]
            )
            return Declared(rows, columns, samples, precision, marker)
        # 0xFF is padding; TEM and RSTn have no length; all others do
        bare = 2 if marker == 0x01 or 0xD0 <= marker <= 0xD7 else 0
        length = 2 + int.from_bytes(frame[offset + 2 : offset + 4], "big")
        offset += 1 if marker == 0xFF else bare or length
    return None
