"""Limits directories and fields of a TIFF (6.0, section 2; BigTIFF) and of EXIF."""

import struct
from typing import NamedTuple

from xemplar.errors import UnsupportedImage
from xemplar.imaging.structure import too_many

FIELDS = 1_000
"""Maximum fields of a directory; cameras write about 50."""

FIELD_BYTES = 16 * 2**20
"""Maximum bytes by which all fields may exceed the file's size; more means that they overlap."""

PIECES = 20_000
"""Maximum strips or tiles; some writers use a strip per row, and images have up to 10,000 rows."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes per value by field type; the remaining types, of BigTIFF, have 8."""

STRIP_OFFSETS, TILE_OFFSETS = 273, 324


class _Layout(NamedTuple):
    """Byte order and field formats of a directory."""

    order: str
    offset: str
    number: str
    entry: str

    def read(self, kind: str, data: bytes, offset: int) -> tuple[int, ...]:
        """Read numbers at an offset; zeros beyond the end of the data."""
        size = struct.calcsize(self.order + kind)
        return struct.unpack(self.order + kind, data[offset : offset + size].ljust(size, b"\0"))


def check_tiff(data: bytes) -> None:
    """Reject a TIFF with several directories, or with too many fields, strips or tiles.

    Raises:
        UnsupportedImage: several directories, that is several images.
        UnreadableImage: too many parts.
    """
    if 0 < check_fields(data) < len(data):
        raise UnsupportedImage("the TIFF holds more than one picture; send one radiograph alone")


def check_fields(data: bytes) -> int:
    """Reject a first directory with too many or overlapping fields.

    Args:
        data: a TIFF, or EXIF data starting with the byte order mark.

    Returns:
        Offset of the next directory, 0 if there is none.

    Raises:
        UnreadableImage: more than `FIELDS`, `FIELD_BYTES` or `PIECES`.
    """
    layout = _layout(data)
    (start,) = layout.read(layout.offset, data, 4 if layout.offset == "I" else 8)
    (count,) = layout.read(layout.number, data, start)
    if count > FIELDS:
        raise too_many("fields in a TIFF or EXIF directory", FIELDS)
    offset, total = start + struct.calcsize(layout.order + layout.number), 0
    for _ in range(count):
        tag, kind, values, _ = layout.read(layout.entry, data, offset)
        if tag in (STRIP_OFFSETS, TILE_OFFSETS) and values > PIECES:
            raise too_many("TIFF strips or tiles", PIECES)
        # a damaged field extends at most to the end of the file
        total += min(values * SIZES.get(kind, 8), len(data))
        offset += struct.calcsize(layout.order + layout.entry)
    if total > len(data) + FIELD_BYTES:
        raise too_many("bytes in the fields of a TIFF or EXIF directory", len(data) + FIELD_BYTES)
    (following,) = layout.read(layout.offset, data, offset)
    return following


def _layout(data: bytes) -> _Layout:
    order = ">" if data.startswith(b"MM") else "<"
    is_big = b"+" in data[2:4]  # version 43
    return _Layout(order, "Q", "Q", "HHQQ") if is_big else _Layout(order, "I", "H", "HHII")
