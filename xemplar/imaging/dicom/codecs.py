"""Names the library that decodes each coding: Pillow, pydicom's plugins, GDCM in its process."""

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
"""After so long GDCM is given up; the largest image takes it a few seconds."""

GDCM_PROCESS = Path(__file__).with_name("gdcm_process.py")

SOF_LOSSLESS, SOF_JPEG_LS, JPEG_2000 = 0xC3, 0xF7, 0
"""Codings, by their SOFn marker; JPEG 2000 has none."""

Pixels = npt.NDArray[Any]


class Declared(NamedTuple):
    """What a codestream says of itself."""

    rows: int
    columns: int
    samples: int
    precision: int
    coding: int


def decode_codestream(frame: bytes, declared: Declared, pixel: ImagePixel) -> Pixels:
    """Decode a JPEG, JPEG-LS or JPEG 2000 stream by the library for it.

    Returns:
        Integers (rows, columns), or (rows, columns, 3) in RGB.

    Raises:
        UnreadableImage: a damaged stream; the libraries have errors of their own for that, too.
        UnsupportedImage: colour of more than 8 bits.
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
            f"the compressed frame says {declared.precision} bits per sample: it is damaged; "
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
    always right. An image is grey: so the reading with less colour is taken.
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
    shape = (pixel.rows, pixel.columns, declared.samples)[: 2 if declared.samples == 1 else 3]
    asked = {
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
    if apart.returncode != 0 or len(apart.stdout) != math.prod(shape) * allocated // 8:
        raise UnreadableImage("the JPEG frame is damaged: GDCM cannot decode it; export it again")
    values = np.frombuffer(apart.stdout, "<u1" if allocated == 8 else "<u2")
    return values.reshape(shape)
