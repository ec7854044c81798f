"""Stored DICOM values -> displayed grey: modality LUT, VOI LUT or window, MONOCHROME1 turned."""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import UnreadableImage
from xemplar.radiograph.film import contrast, stretch

if TYPE_CHECKING:
    from pydicom import Dataset


def displayed(stored: npt.NDArray[Any], header: "Dataset") -> npt.NDArray[np.uint8]:
    """The grey that a reading screen would show.

    DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation).

    Args:
        stored: integers (height, width), as the file holds them.
        header: of the film.

    Returns:
        uint8 (height, width), 0 black (air) to 255 white (bone).

    Raises:
        UnreadableImage: the window cannot be applied.
    """
    from pydicom.pixels.processing import apply_modality_lut

    values = np.asarray(apply_modality_lut(stored, header))
    padding = header.get("PixelPaddingValue")
    outside = None if padding is None else stored == int(padding)
    if header.get("VOILUTSequence"):
        grey = _look_up(values, header.VOILUTSequence[0])
    elif header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        grey = _through_window(np.asarray(values, np.float32), header)
    elif int(header.get("BitsStored") or 16) <= 8:
        span = np.array([[0, 2**header.BitsStored - 1]])
        span = span - 2 ** (header.BitsStored - 1) if header.PixelRepresentation else span
        low, high = sorted(float(end) for end in apply_modality_lut(span, header)[0])
        grey = stretch(np.asarray(values, np.float32), low, high)
    else:
        deep = np.asarray(values, np.float32)
        film = deep if outside is None or outside.all() else deep[~outside][None]
        grey = stretch(deep, *contrast(film))
    if str(header.PhotometricInterpretation).strip() == "MONOCHROME1":
        grey = np.subtract(255, grey, dtype=np.uint8)
    if outside is not None:
        grey[outside] = 0
    return grey


def _through_window(values: npt.NDArray[np.float32], header: "Dataset") -> npt.NDArray[np.uint8]:
    """The first window of the header: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    centre, width = (
        float(value[0] if isinstance(value, Sequence) else value)
        for value in (header.WindowCenter, header.WindowWidth)
    )
    function = str(header.get("VOILUTFunction") or "") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") or not 0 < width < inf:
        raise UnreadableImage(
            f"the DICOM window has the function {function[:16]!r} and the width {width}; it must "
            "be LINEAR, LINEAR_EXACT or SIGMOID, and wider than 0"
        )
    if function == "SIGMOID":
        # beyond 40 the exponential is 0 or infinite to 8 bits, and need not overflow
        exponent = np.clip(-4 * (values - centre) / width, -40, 40)
        return stretch(1 / (1 + np.exp(exponent)), 0, 1)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return stretch(values, centre - width / 2, centre + width / 2)


def _look_up(values: npt.NDArray[Any], lut: "Dataset") -> npt.NDArray[np.uint8]:
    """A VOI LUT: PS3.3 C.11.2.1.1. pydicom's own wraps around at values outside of the table."""
    count, first, bits = (int(value) for value in lut.LUTDescriptor)
    data = lut.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    place = np.clip(values.astype(np.float64) - first, 0, min(count or 65_536, len(table)) - 1)
    return stretch(table[place.astype(np.intp)].astype(np.float32), 0, 2**bits - 1)
