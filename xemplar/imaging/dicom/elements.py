"""Reads single elements of a DICOM header regardless of their VR.

Bypasses pydicom's conversion: its warnings quote values, and its exceptions would reject an image
because of an element that is not essential.
"""

from collections.abc import Iterable, MutableSequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset


READ = 4096
"""Maximum bytes read of a value, and `ITEMS` items of a sequence; files may contain millions."""

ITEMS = 8


BINARY = {"UL": "u4", "SL": "u4", "FL": "f4", "FD": "f8", "UV": "u8", "SV": "i8"}
"""NumPy types of binary numbers by VR (PS3.5 6.2); all others have 16 bits."""


def texts(header: "Dataset", keyword: str) -> list[str]:
    """Read the values of an element as text; [] if it is absent or empty."""
    element = header.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        value = _decoded(value[:READ]).split("\\")
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    found = [str(each).strip(" \t\r\n\0") for each in values if each is not None]
    return [each for each in found if each]


def _decoded(value: bytes) -> str:
    """Decode text as UTF-8 or Latin-1; the declared character set is no more reliable."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def numbers(header: "Dataset", keyword: str) -> list[float]:
    """Read the finite numbers of an element, regardless of its VR.

    16-bit integers are returned unsigned; see `signed`.
    """
    element = header.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes) and not _is_text(keyword, str(element.VR)):
        order = ">" if not getattr(element, "is_little_endian", True) else "<"
        kind = np.dtype(order + BINARY.get(str(element.VR), "u2"))
        whole = value[: min(len(value), READ) // kind.itemsize * kind.itemsize]
        read = [float(each) for each in np.frombuffer(whole, kind)]
        return [each for each in read if isfinite(each)]
    found = []
    for written in texts(header, keyword):
        try:
            found.append(float(written))
        except ValueError:
            continue
    return [number for number in found if isfinite(number)]


def number(header: "Dataset", keyword: str) -> float | None:
    """Read the first finite number of an element; None if there is none."""
    return next(iter(numbers(header, keyword)), None)


def items(header: "Dataset", keyword: str) -> "list[Dataset]":
    """Read the first `ITEMS` items of a sequence, skipping empty ones.

    [] if it is absent or unreadable.
    """
    try:
        sequence = header.get(keyword)
    except (AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError):
        return []
    if not isinstance(sequence, MutableSequence):
        return []
    return [item for item in sequence[:ITEMS] if item]


def signed(value: float, is_signed: bool) -> int:
    """Interpret a 16-bit integer as signed or unsigned, regardless of its VR."""
    bits = int(value) & 0xFFFF if -(2**15) <= value < 2**16 else int(value)
    return bits - 2**16 if is_signed and 2**15 <= bits < 2**16 else bits


def _is_text(keyword: str, vr: str) -> bool:
    """Check if a number is stored as text, by its VR or else the dictionary's."""
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import STR_VR

    text_vrs = {str(each) for each in STR_VR}
    return vr in text_vrs or (vr in ("None", "UN") and dictionary_VR(keyword) in text_vrs)


def text(header: "Dataset", keyword: str) -> str:
    """Read the first value of an element as upper-case text; "" if it is absent or empty."""
    return next(iter(texts(header, keyword)), "").upper()
