"""Chooses the decoder of a codestream: Pillow, pydicom's plugins, or GDCM in its own process."""

import json
import math
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from xemplar.errors import UnreadableImage, UnsupportedImage
from xemplar.imaging.colour import GREY_SPREAD, spread
from xemplar.imaging.dicom.image_pixel import COLOURS, ImagePixel

GDCM_SECONDS = 60
"""Timeout of GDCM, which needs a few seconds for the largest image."""

GDCM_SCRIPT = Path(__file__).with_name("gdcm_isolation.py")

SOF_LOSSLESS, SOF_JPEG_LS, JPEG_2000 = 0xC3, 0xF7, 0
"""Codings, identified by their SOFn marker; JPEG 2000 has none."""

Pixels = npt.NDArray[Any]


class Declared(NamedTuple):
    """Image parameters declared by a codestream."""

    rows: int
    columns: int
    samples: int
    precision: int
    coding: int


def decode_codestream(frame: bytes, declared: Declared, pixel: ImagePixel) -> Pixels:
    """Decode a JPEG, JPEG-LS or JPEG 2000 stream with the appropriate library.

    Returns:
        Integers (rows, columns), or (rows, columns, 3) in RGB.

    Raises:
        UnreadableImage: a damaged stream; the libraries may raise errors of their own instead.
        UnsupportedImage: colour with more than 8 bits per channel.
    """
    from pydicom.uid import JPEG2000, JPEGExtended12Bit, JPEGLossless, JPEGLSLossless

    if declared.coding == JPEG_2000 and declared.samples == 1:
        return decode_by_pydicom(frame, JPEG2000, pixel, "pillow")
    if declared.coding == SOF_JPEG_LS:
        return decode_by_pydicom(frame, JPEGLSLossless, pixel, "pyjpegls")
    if declared.coding != SOF_LOSSLESS and declared.precision <= 8:
        return _by_pillow(frame, pixel)
    if not 2 <= declared.precision <= 16:
        raise UnreadableImage(
            f"the compressed frame declares {declared.precision} bits per sample: it is damaged; "
            "export the image again"
        )
    if declared.samples != 1 and declared.precision > 8:
        raise UnsupportedImage(
            f"the compressed frame has {declared.samples} samples of {declared.precision} bits; "
            "send the image in grey"
        )
    syntax = JPEGLossless if declared.coding == SOF_LOSSLESS else JPEGExtended12Bit
    return _by_gdcm(frame, syntax, declared, pixel)


def decode_by_pydicom(frame: bytes, syntax: str, pixel: ImagePixel, plugin: str) -> Pixels:
    """Decode with the given pydicom plugin instead of pydicom's own choice."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    is_mislabelled = pixel.samples == 3 and pixel.photometric not in COLOURS
    options: dict[str, Any] = {
        "pixel_keyword": "PixelData",
        "number_of_frames": 1,
        "rows": pixel.rows,
        "columns": pixel.columns,
        "samples_per_pixel": pixel.samples,
        "photometric_interpretation": "RGB" if is_mislabelled else pixel.photometric,
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
    """Decode 8-bit JPEG, and JPEG 2000 in colour.

    Three channels of a JPEG are YCbCr unless a marker states otherwise, and a header that states
    RGB may be wrong. Radiographs are grey, so the interpretation with less colour is used.
    """
    image = Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000"))
    if pixel.samples == 1:
        return np.asarray(image)
    converted = np.asarray(image.convert("RGB"))
    if pixel.photometric != "RGB" or spread(converted) <= GREY_SPREAD:
        return converted
    stored = Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000"))
    stored.draft("YCbCr", stored.size)  # returns the channels of a JPEG unconverted
    try:
        return min(converted, np.asarray(stored), key=spread)
    except OSError:  # marked as RGB, so the conversion was correct
        return converted


def _by_gdcm(frame: bytes, syntax: str, declared: Declared, pixel: ImagePixel) -> Pixels:
    """Decode in a separate process, as damaged streams make GDCM abort (found by fuzzing).

    The process is isolated from this one's working directory and environment.
    """
    allocated = 8 if declared.precision <= 8 else 16
    shape = (pixel.rows, pixel.columns, declared.samples)[: 2 if declared.samples == 1 else 3]
    request = {
        "rows": pixel.rows,
        "columns": pixel.columns,
        "samples": declared.samples,
        "allocated": allocated,
        "stored": declared.precision,
        "syntax": str(syntax),
    }
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ
    }
    try:
        completed = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-I", GDCM_SCRIPT],
            input=json.dumps(request).encode() + b"\n" + frame,
            capture_output=True,
            timeout=GDCM_SECONDS,
            check=False,
            cwd=GDCM_SCRIPT.parent,
            env=kept,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableImage(
            f"GDCM could not decode the JPEG frame within {GDCM_SECONDS} s; send it uncompressed"
        ) from error
    if completed.returncode != 0 or len(completed.stdout) != math.prod(shape) * allocated // 8:
        raise UnreadableImage("the JPEG frame is damaged: GDCM cannot decode it; export it again")
    values = np.frombuffer(completed.stdout, "<u1" if allocated == 8 else "<u2")
    return values.reshape(shape)
