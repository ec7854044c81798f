"""Small images and DICOM elements shared by the tests of decoding."""

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import Dataset

from tests.images import drawn_image, encoded
from xemplar.errors import (
    InputError,
)
from xemplar.imaging import Limits, decode

IMAGE = drawn_image(1)  # 96 high, 80 wide, so that a turned image shows
DEEP = IMAGE.astype(np.uint16) * 257  # 8 -> 16 bit: 0 stays 0, 255 becomes 65535
MEBIBYTE = 2**20


def correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def painted(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


GREY = Image.fromarray(IMAGE)


# Stored pixels of an upright image, by EXIF orientation (TIFF 6.0, tag 274).
STORED: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda radiograph: radiograph,
    2: lambda radiograph: radiograph[:, ::-1],
    3: lambda radiograph: radiograph[::-1, ::-1],
    4: lambda radiograph: radiograph[::-1],
    5: lambda radiograph: radiograph.T,
    6: lambda radiograph: np.rot90(radiograph),
    7: lambda radiograph: radiograph[::-1, ::-1].T,
    8: lambda radiograph: np.rot90(radiograph, -1),
}


def lying(radiograph: npt.NDArray[Any], orientation: int, format: str) -> bytes:  # noqa: A002
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format == "JPEG" else {}
    return encoded(
        np.ascontiguousarray(STORED[orientation](radiograph)), format, exif=exif, **options
    )


RAMP = np.arange(96 * 80, dtype=np.uint16).reshape(96, 80)  # 0 .. 7679
WINDOW = {"WindowCenter": "3000", "WindowWidth": "2000"}


def lookup(table: npt.NDArray[Any], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(table), first, bits]
    item.add_new("LUTData", "US", [int(value) for value in table])
    return item


# GDCM, a dependency, encodes all of them; pyjpegls and pylibjpeg are not needed.
LOSSLESS = {
    "JPEG lossless (process 14)": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "JPEG lossless (selection value 1)": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "RLE": gdcm.TransferSyntax.RLELossless,
}


def code(value: str, scheme: str = "SCT", meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


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
