"""Directories and their fields, of a TIFF (6.0, section 2; BigTIFF) and of EXIF."""

import struct
from typing import NamedTuple

from xemplar.errors import UnsupportedImage
from xemplar.imaging.structure.refusal import too_many

FIELDS = 1_000
"""Of one directory; cameras write about 50."""

FIELD_BYTES = 16 * 2**20
"""That the fields may take beyond the size of the file: more is only there if they overlap."""

PIECES = 20_000
"""Strips or tiles; some writers make a strip of each row, and images have up to 10,000."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value of each type; the others, of BigTIFF, have 8."""

STRIP_OFFSETS, TILE_OFFSETS = 273, 324


class _Layout(NamedTuple):
    """Where things are in a directory."""

    order: str
    offset: str
    number: str
    entry: str

    def read(self, kind: str, data: bytes, place: int) -> tuple[int, ...]:
        """Numbers at a place; zeros beyond the end."""
        size = struct.calcsize(self.order + kind)
        return struct.unpack(self.order + kind, data[place : place + size].ljust(size, b"\0"))


def check_tiff(data: bytes) -> None:
    """Refuse a TIFF of several directories, or with too many fields, strips or tiles.

    Raises:
        UnsupportedImage: several directories, which are pictures.
        UnreadableImage: too many parts.
    """
    if 0 < check_fields(data) < len(data):
        raise UnsupportedImage("the TIFF holds more than one picture; send one radiograph alone")


def check_fields(data: bytes) -> int:
    """Refuse too many fields in the first directory, or such as overlap.

    Args:
        data: a TIFF, or EXIF from its byte order on.

    Returns:
        Where the next directory is, 0 for nowhere.

    Raises:
        UnreadableImage: more than `FIELDS`, `FIELD_BYTES` or `PIECES`.
    """
    layout = _layout(data)
    (start,) = layout.read(layout.offset, data, 4 if layout.offset == "I" else 8)
    (count,) = layout.read(layout.number, data, start)
    if count > FIELDS:
        raise too_many("fields in a TIFF or EXIF directory", FIELDS)
    place, taken = start + struct.calcsize(layout.order + layout.number), 0
    for _ in range(count):
        tag, kind, values, _ = layout.read(layout.entry, data, place)
        if tag in (STRIP_OFFSETS, TILE_OFFSETS) and values > PIECES:
            raise too_many("TIFF strips or tiles", PIECES)
        # a field that is damaged reaches to the end of the file at most
        taken += min(values * SIZES.get(kind, 8), len(data))
        place += struct.calcsize(layout.order + layout.entry)
    if taken > len(data) + FIELD_BYTES:
        raise too_many("bytes in the fields of a TIFF or EXIF directory", len(data) + FIELD_BYTES)
    (following,) = layout.read(layout.offset, data, place)
    return following


def _layout(data: bytes) -> _Layout:
    order = ">" if data.startswith(b"MM") else "<"
    is_big = b"+" in data[2:4]  # version 43
    return _Layout(order, "Q", "Q", "HHQQ") if is_big else _Layout(order, "I", "H", "HHII")
