"""Lookup tables of DICOM headers, regardless of their VR (PS3.3 C.11.1.1, C.11.2.1.1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xemplar.imaging.dicom.elements import numbers, signed

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class LookupTable:
    """Maps values to entries; values out of range map to the first or last entry.

    Attributes:
        first: value mapped to the first entry.
        bits: bits per entry.
        entries: uint16 (count,).
        warning: set if the entries contradict the header.
    """

    first: int
    bits: int
    entries: npt.NDArray[np.uint16]
    warning: str = ""

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        """Look up values (height, width)."""
        index = np.clip(values.astype(np.float64) - self.first, 0, len(self.entries) - 1)
        return self.entries[index.astype(np.intp)]


def lookup_table(item: "Dataset", signed_input: bool) -> LookupTable | None:
    """Read one item of a LUT sequence.

    Args:
        item: with LUTDescriptor (entries, 0 for 65,536; first value; bits) and LUTData.
        signed_input: whether input values may be negative, which determines how the first value is
            interpreted.

    Returns:
        None if the item is incomplete, or its depth is not 8 to 16 bits.
    """
    descriptor = numbers(item, "LUTDescriptor")
    element = item.get_item("LUTData")
    if len(descriptor) != 3 or element is None or not element.value:
        return None
    count, bits = int(descriptor[0]) % 2**16 or 2**16, int(descriptor[2])
    entries = _entries(element, count)
    if not 8 <= bits <= 16 or len(entries) < 2:
        return None
    warning = ""
    actual = max(8, int(entries.max()).bit_length())
    if actual != bits:
        warning = f"a DICOM lookup table says {bits} bits, but its entries have {actual}"
    return LookupTable(signed(descriptor[1], signed_input), actual, entries, warning)


def _entries(element: Any, count: int) -> npt.NDArray[np.uint16]:
    """Read entries of 16 bits, or of 8 bits packed two to a word, depending on the length."""
    data, order = element.value, "<" if getattr(element, "is_little_endian", True) else ">"
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)
    words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2").astype(np.uint16)
    if len(data) > count + 1:
        words = words[:count]
        swapped = words.byteswap()
        return swapped if _roughness(swapped) < _roughness(words) / 4 else words
    packed = words.astype("<u2").tobytes() if element.VR == "OW" else data
    return np.frombuffer(packed, np.uint8)[:count].astype(np.uint16)


def _roughness(entries: npt.NDArray[np.uint16]) -> float:
    """Mean absolute step; a table in the wrong byte order is noise."""
    return float(np.abs(np.diff(entries.astype(np.float64))).mean()) if len(entries) > 1 else 0.0
