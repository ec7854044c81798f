"""Compressed DICOM pixels: how much they unpack to is known before they are unpacked."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from xemplar.errors import UnreadableImage, UnsupportedImage
from xemplar.radiograph.colour import GREY_SPREAD, spread
from xemplar.radiograph.image_pixel import COLOURS, ImagePixel

if TYPE_CHECKING:
    from pydicom import Dataset

GDCM_SECONDS = 60
"""After so long GDCM is given up; the largest film takes it a few seconds."""

GDCM_PROCESS = Path(__file__).with_name("gdcm_process.py")

JPEG_START, JPEG_2000_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "

END = b"\xff\xd9"
"""The marker that ends a JPEG, JPEG-LS or JPEG 2000 stream."""

SOF_LOSSLESS, SOF_JPEG_LS, JPEG_2000 = 0xC3, 0xF7, 0
"""Codings, by their SOFn marker; JPEG 2000 has none."""

MISSING = 0.01
"""Share of an image that may be missing at the end of its data."""

JPEG_BLOCK = 16 * 16
"""Pixels that a JPEG with subsampled colour encodes together; the last ones go with their end."""

Pixels = npt.NDArray[Any]


class Declared(NamedTuple):
    """What a codestream says of itself."""

    rows: int
    columns: int
    samples: int
    precision: int
    coding: int


def decode_frame(
    header: "Dataset", pixel: ImagePixel
) -> tuple[Pixels, ImagePixel, tuple[str, ...]]:
    """Decode the one compressed frame, by what it is: the transfer syntax may name another coding.

    Returns:
        Integers (rows, columns), or (rows, columns, 3) in RGB; what they are like; and warnings.

    Raises:
        UnreadableImage: damaged, or of another size than the header says: it could be a bomb.
        UnsupportedImage: a coding that cannot be decoded.
    """
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    frame = get_frame(header.get_item("PixelData").value, 0, number_of_frames=1)
    if frame.startswith(JP2_START):
        # what is decoded is the very stream whose size is looked at
        frame = frame[max(frame.find(JPEG_2000_START), 0) :]
    declared = _declared(frame)
    if declared is None:
        syntax = header.file_meta.get("TransferSyntaxUID", RLELossless)
        if syntax != RLELossless and frame[:8] != struct.pack("<2L", frame[0] if frame else 0, 64):
            raise UnreadableImage(
                "the compressed frame declares no size that can be read; it is damaged, or of a "
                "coding other than RLE, JPEG, JPEG-LS and JPEG 2000"
            )
        return _by_pydicom(frame, RLELossless, pixel, "pylibjpeg"), pixel, ()
    if declared[:2] != (pixel.rows, pixel.columns) or declared.samples not in (1, 3):
        raise UnreadableImage(
            "the compressed frame declares {} x {} x {} (rows x columns x samples), ".format(
                *declared
            )
            + f"but its header says {pixel.rows} x {pixel.columns} x {pixel.samples}"
        )
    stored = min(declared.precision, pixel.stored)
    pixel = replace(pixel, samples=declared.samples, stored=stored, high=stored - 1)
    fills_up = declared.coding not in (JPEG_2000, SOF_JPEG_LS)
    pixels, warnings = with_end(frame, lambda whole: _decoded(whole, declared, pixel), fills_up)
    return pixels, pixel, warnings


def with_end(
    frame: bytes, decode: Callable[[bytes], Pixels], fills_up: bool = True
) -> tuple[Pixels, tuple[str, ...]]:
    """Decode a stream that may lack its end marker.

    Args:
        frame: the stream.
        decode: decodes a whole one.
        fills_up: whether the decoder fills up what is missing. So two different ends are tried:
            pixels in which they differ are missing.

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
        except (OSError, RuntimeError):  # of an odd length, and padded to an even one (PS3.5 A.4)
            return decode(cut.removesuffix(b"\0") + END), warnings
    pixels, other = decode(cut + END), decode(cut + b"\x55\x2a" * len(cut) + END)
    missing = np.count_nonzero((pixels != other).reshape(*pixels.shape[:2], -1).any(axis=2))
    count = pixels.shape[0] * pixels.shape[1]
    if missing > max(MISSING * count, 2 * JPEG_BLOCK):
        raise UnreadableImage(
            f"the compressed pixels are cut short: {missing / count:.0%} of the image is missing; "
            "export the film again"
        )
    return pixels, warnings


def _declared(frame: bytes) -> Declared | None:
    """Read the size that a JPEG, JPEG-LS or JPEG 2000 stream declares.

    Markers: ITU-T T.81 B.2.2 (SOFn), T.87 C.1.1 (SOF55), T.800 A.5.1 (SIZ).
    """
    if frame.startswith(JPEG_2000_START) and len(frame) >= 43:
        x1, y1, x0, y0 = struct.unpack(">4L", frame[8:24])
        samples, precision = int.from_bytes(frame[40:42], "big"), (frame[42] & 0x7F) + 1
        return Declared(y1 - y0, x1 - x0, samples, precision, JPEG_2000)
    place = 2
    while frame.startswith(JPEG_START) and place + 10 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == SOF_JPEG_LS:
            precision, rows, columns, samples = struct.unpack(
                ">BHHB", frame[place + 4 : place + 10]
            )
            return Declared(rows, columns, samples, precision, marker)
        # 0xFF fills up; TEM and RSTn stand alone; all others say how long they are
        bare = 2 if marker == 0x01 or 0xD0 <= marker <= 0xD7 else 0
        length = 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        place += 1 if marker == 0xFF else bare or length
    return None


def _decoded(frame: bytes, declared: Declared, pixel: ImagePixel) -> Pixels:
    from pydicom.uid import JPEG2000, JPEGExtended12Bit, JPEGLossless, JPEGLSLossless

    if declared.coding == JPEG_2000 and declared.samples == 1:
        return _by_pydicom(frame, JPEG2000, pixel, "pillow")
    if declared.coding == SOF_JPEG_LS:
        return _by_pydicom(frame, JPEGLSLossless, pixel, "pyjpegls")
    if declared.coding != SOF_LOSSLESS and declared.precision <= 8:
        return _by_pillow(frame, pixel)
    if not 2 <= declared.precision <= 16:
        raise UnreadableImage(
            f"the compressed frame says {declared.precision} bits per sample: it is damaged; "
            "export the film again"
        )
    if declared.samples != 1:
        raise UnsupportedImage(
            f"the compressed frame has {declared.samples} samples of {declared.precision} bits; "
            "send the film in grey"
        )
    syntax = JPEGLossless if declared.coding == SOF_LOSSLESS else JPEGExtended12Bit
    return _by_gdcm(frame, syntax, declared, pixel)


def _by_pydicom(frame: bytes, syntax: str, pixel: ImagePixel, plugin: str) -> Pixels:
    """Decode with the library that is named: left to itself, pydicom would choose."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    is_lying = pixel.samples == 3 and pixel.photometric not in COLOURS
    options: dict[str, Any] = {
        "pixel_keyword": "PixelData",
        "number_of_frames": 1,
        "rows": pixel.rows,
        "columns": pixel.columns,
        "samples_per_pixel": pixel.samples,
        "photometric_interpretation": "RGB" if is_lying else pixel.photometric,
        "planar_configuration": int(pixel.planar),
        "bits_allocated": pixel.allocated,
        "bits_stored": pixel.stored,
        "pixel_representation": int(pixel.signed),
        "correct_unused_bits": False,
    }
    decoder = get_decoder(UID(syntax))
    array, _ = decoder.as_array(encapsulate([frame]), decoding_plugin=plugin, **options)
    return np.asarray(array)


def _by_pillow(frame: bytes, pixel: ImagePixel) -> Pixels:
    """8-bit JPEG, and JPEG 2000 in colour.

    Three channels of a JPEG are YCbCr unless a marker says otherwise; headers that say RGB are not
    always right. A film is grey: so the reading with less colour is taken.
    """
    image = Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000"))
    if pixel.samples == 1:
        return np.asarray(image)
    converted = np.asarray(image.convert("RGB"))
    if pixel.photometric != "RGB" or spread(converted) <= GREY_SPREAD:
        return converted
    stored = Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000"))
    stored.draft("YCbCr", stored.size)  # hands the channels of a JPEG over as they are
    try:
        return min(converted, np.asarray(stored), key=spread)
    except OSError:  # marked as RGB, and so converted rightly
        return converted


def _by_gdcm(frame: bytes, syntax: str, declared: Declared, pixel: ImagePixel) -> Pixels:
    """Decode in a process of its own: damaged streams make GDCM abort, as fuzzing found.

    The process is isolated from the folder and the environment that this one was started in.
    """
    allocated = 8 if declared.precision <= 8 else 16
    asked = {
        "rows": pixel.rows,
        "columns": pixel.columns,
        "allocated": allocated,
        "stored": declared.precision,
        "syntax": str(syntax),
    }
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ
    }
    try:
        apart = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-I", GDCM_PROCESS],
            input=json.dumps(asked).encode() + b"\n" + frame,
            capture_output=True,
            timeout=GDCM_SECONDS,
            check=False,
            cwd=GDCM_PROCESS.parent,
            env=kept,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableImage(
            f"GDCM could not decode the JPEG frame within {GDCM_SECONDS} s; send it uncompressed"
        ) from error
    if apart.returncode != 0 or len(apart.stdout) != pixel.rows * pixel.columns * allocated // 8:
        raise UnreadableImage("the JPEG frame is damaged: GDCM cannot decode it; export it again")
    values = np.frombuffer(apart.stdout, "<u1" if allocated == 8 else "<u2")
    return values.reshape(pixel.rows, pixel.columns)
