"""DICOM pixel data -> stored values: length, byte order, used bits and sign (PS3.5 8.1.1)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.errors import UnreadableImage
from xemplar.imaging.colour import to_grey
from xemplar.imaging.dicom.codestream import MISSING, decode_frame
from xemplar.imaging.dicom.elements import numbers, signed
from xemplar.imaging.dicom.image_pixel import GREY, ImagePixel

if TYPE_CHECKING:
    from pydicom import Dataset

PADDED = 4096
"""Maximum bytes after the pixels: some writers pad to whole blocks."""

NOISE, PICTURE = 0.5, 0.2
"""Mean step between neighbouring pixels, in standard deviations: above the first value it is noise
(uniform noise has 1.1), below the second an image (radiographs have 0.02 to 0.1)."""

SEAM = 4
"""Factor by which steps may exceed the median step where two interpretations differ."""

ITEM = b"\xfe\xff\0\xe0"
"""Item tag with which compressed pixels begin (PS3.5 A.4)."""

Pixels = npt.NDArray[Any]


class Stored(NamedTuple):
    """Stored values of an image.

    Attributes:
        values: integers (rows, columns), or RGB (rows, columns, 3).
        padding: bool (rows, columns), True for pixel padding; None if the header declares none.
        pixel: pixel description, corrected where the data contradict the header.
        warnings: sentences about such corrections.
    """

    values: Pixels
    padding: npt.NDArray[np.bool_] | None
    pixel: ImagePixel
    warnings: tuple[str, ...]


def stored_values(header: "Dataset", pixel: ImagePixel) -> Stored:
    """Read the stored values; compression is detected from the data, not the header.

    Raises:
        UnreadableImage: truncated, or a size that differs from the header.
        UnsupportedImage: an unsupported coding.
    """
    element = header.get_item("PixelData")
    data = element.value or b""
    if data.startswith(ITEM) and len(data) != _length(pixel):
        values, pixel, warnings = decode_frame(header, pixel)
    else:
        full = replace(pixel, photometric="YBR_FULL")
        if pixel.photometric == "YBR_FULL_422" and len(data) >= _length(full):
            pixel = full  # not subsampled, contrary to the header
        data, warnings = _of_length(data, pixel)
        big_endian = not header.original_encoding[1]
        values = _uncompressed(data, pixel, big_endian, str(element.VR))
    if values.shape[:2] != (pixel.rows, pixel.columns):
        raise UnreadableImage(
            f"the DICOM header says {pixel.rows} x {pixel.columns}, but the pixels are "
            f"{' x '.join(map(str, values.shape))}"
        )
    if values.ndim == 3 and pixel.photometric in GREY:
        # the frame is stored in colour, but its header describes grey values
        values, tinted = to_grey(values)
        warnings, pixel = (*warnings, *tinted), replace(pixel, samples=1)
    if values.ndim == 3 or pixel.photometric == "PALETTE COLOR":
        return Stored(values, None, pixel, warnings)
    values, pixel, corrected = _in_byte_order(values, pixel)
    padding = _padding(values, header, pixel)
    values, pixel, more = _used_bits(values, pixel)
    return Stored(values, padding, pixel, (*warnings, *corrected, *more))


def _length(pixel: ImagePixel) -> int:
    """Compute the bytes of the uncompressed pixels."""
    samples = pixel.rows * pixel.columns * pixel.samples
    if pixel.photometric == "YBR_FULL_422":
        samples = samples * 2 // 3
    return -(-samples * pixel.allocated // 8)


def _of_length(data: bytes, pixel: ImagePixel) -> tuple[bytes, tuple[str, ...]]:
    """Trim or pad uncompressed pixels to the expected length, within tolerance."""
    wanted = _length(pixel)
    missing = wanted - len(data)
    if missing > MISSING * wanted or -missing > max(PADDED, MISSING * wanted):
        raise UnreadableImage(
            f"the DICOM header says {pixel.rows} x {pixel.columns} pixels of {pixel.samples} x "
            f"{pixel.allocated} bits = {wanted:,} bytes, but the pixels have {len(data):,}; "
            "export the image again"
        )
    if missing > 0:
        row = max(1, wanted // pixel.rows)
        last = data[-row:]
        return data + (last * (missing // row + 1))[:missing], (
            f"the DICOM pixels lack their last {missing:,} of {wanted:,} bytes; the row before was "
            "repeated",
        )
    if missing < -1:
        return data[:wanted], (f"{-missing:,} bytes follow the DICOM pixels; they were ignored",)
    return data[:wanted], ()


def _uncompressed(data: bytes, pixel: ImagePixel, big_endian: bool, vr: str) -> Pixels:
    shape: tuple[int, ...] = (pixel.rows, pixel.columns)
    if pixel.allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[: pixel.rows * pixel.columns].reshape(shape)
    if big_endian and pixel.allocated == 8 and vr == "OW":
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    order = ">" if big_endian else "<"
    values: Pixels = np.frombuffer(data, f"{order}u{pixel.allocated // 8}")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if pixel.samples == 1:
        return values.reshape(shape)
    return _in_rgb(values, pixel)


def _in_rgb(values: Pixels, pixel: ImagePixel) -> Pixels:
    from pydicom.pixels.processing import convert_color_space

    if pixel.photometric == "YBR_FULL_422" and pixel.allocated == 8:
        # PS3.3 C.7.6.3.1.2: two Y, then their shared Cb and Cr
        pairs = values.reshape(pixel.rows, pixel.columns // 2, 4)
        shared = np.repeat(pairs[..., 2:], 2, axis=1)
        luma = pairs[..., :2].reshape(pixel.rows, pixel.columns, 1)
        values = np.concatenate([luma, shared], axis=2)
    elif pixel.planar:
        values = np.moveaxis(values.reshape(3, pixel.rows, pixel.columns), 0, -1)
    values = values.reshape(pixel.rows, pixel.columns, 3)
    if pixel.photometric.startswith("YBR_FULL") and pixel.allocated == 8:
        return np.asarray(convert_color_space(values, "YBR_FULL", "RGB"))
    return values


def _padding(values: Pixels, header: "Dataset", pixel: ImagePixel) -> npt.NDArray[np.bool_] | None:
    """Mask the pixel padding: PS3.3 C.7.5.1.1.2, value and range limit."""
    value = numbers(header, "PixelPaddingValue")
    if len(value) != 1:
        return None
    limit = numbers(header, "PixelPaddingRangeLimit")
    ends = [signed(end, pixel.signed) for end in (*value, *limit[:1])]
    whole = values.view(f"i{values.itemsize}") if pixel.signed else values
    return np.asarray((whole >= min(ends)) & (whole <= max(ends)))


def _in_byte_order(values: Pixels, pixel: ImagePixel) -> tuple[Pixels, ImagePixel, tuple[str, ...]]:
    """Swap the bytes of values that are noise as stored and an image when swapped."""
    if values.itemsize != 2 or _roughness(values) < NOISE:
        return values, pixel, ()
    swapped = values.byteswap()
    if _roughness(swapped) > PICTURE:
        return values, pixel, ()
    return swapped, pixel, ("the DICOM pixels were in another byte order than the header says",)


def _used_bits(values: Pixels, pixel: ImagePixel) -> tuple[Pixels, ImagePixel, tuple[str, ...]]:
    """Extract the stored bits from the allocated ones; the others may contain overlays.

    Tries each interpretation on a sample of rows; where the data contradict the header, the data
    win.
    """
    warnings: list[str] = []
    unsigned = values.view(f"u{values.itemsize}")
    allocated, stored, is_signed = values.itemsize * 8, pixel.stored, pixel.signed
    shift = pixel.high + 1 - stored
    if shift and unsigned.max() < 2**stored:
        shift = 0
        warnings.append(
            f"the DICOM header says that the highest bit is {pixel.high}, but the values have only "
            f"{stored} bits; they were read as they are"
        )
    rows = _rows(unsigned) >> shift
    whole = rows.view(f"i{rows.itemsize}") if is_signed else rows
    part = _extended(rows, stored, is_signed)
    if not shift and (
        _is_seamless(whole, part) or (_roughness(part) > NOISE and _roughness(whole) < PICTURE)
    ):
        warnings.append(
            f"the DICOM header says {stored} bits stored, but the values have more; all "
            f"{allocated} were read"
        )
        stored = allocated
    other = _extended(rows, stored, not is_signed)
    white = float((rows & (2**stored - 1) == 2**stored - 1).mean())  # -1, if it has a sign
    if white < 0.01 and _is_seamless(other, _extended(rows, stored, is_signed)):
        is_signed = not is_signed
        warnings.append(
            f"the DICOM header says that values are {'un' * is_signed}signed, but they are not"
        )
    used = _extended(unsigned >> shift if shift else unsigned, stored, is_signed)
    corrected = replace(pixel, stored=stored, high=stored - 1, signed=is_signed)
    return used, corrected, tuple(warnings)


def _extended(values: Pixels, bits: int, is_signed: bool) -> Pixels:
    """Extract the lowest bits of unsigned values, as two's complement if signed."""
    size = values.itemsize * 8
    if bits < size and (is_signed or values.max() >= 2**bits):
        values = values & values.dtype.type(2**bits - 1)
    if not is_signed:
        return values
    if bits == size:
        return values.view(f"i{values.itemsize}")
    sign = values.dtype.type(2 ** (bits - 1))
    container = f"i{values.itemsize}"
    return np.asarray((values ^ sign).astype(container) - np.array(sign, container))


def _rows(values: Pixels) -> Pixels:
    """Sample of rows, sufficient for the statistics."""
    return values[:: max(1, len(values) // 128)]


def _is_seamless(reading: Pixels, other: Pixels) -> bool:
    """Check that steps are no larger where two interpretations differ than elsewhere.

    A wrong interpretation wraps around there: 4095 is followed by 0, or 127 by -128.
    """
    steps, others = (np.abs(np.diff(each.astype(np.int64), axis=1)) for each in (reading, other))
    seam = steps != others
    if not seam.any():
        return False
    usual = np.median(steps[~seam]) if not seam.all() else 0
    return bool(
        np.median(steps[seam]) <= max(np.median(others[seam]) / 2, SEAM * max(float(usual), 1))
    )


def _roughness(values: Pixels) -> float:
    """Mean step between neighbouring pixels, in standard deviations."""
    rows = _rows(values).astype(np.float64)
    return float(np.abs(np.diff(rows, axis=1)).mean() / max(rows.std(), 1e-6))
