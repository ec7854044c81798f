"""Chunks of a PNG (PNG 1.2, 3.2)."""

from xemplar.radiograph.structure.refusal import too_many
from xemplar.radiograph.structure.tiff import check_fields

CHUNKS = 65_536
"""libpng writes 8 KiB of pixels into each: 8,192 in the largest file."""


def check_png(data: bytes) -> None:
    """Refuse a PNG of too many chunks.

    Raises:
        UnreadableImage: more than `CHUNKS`, or too many EXIF fields.
    """
    place = 8
    for _ in range(CHUNKS):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind in (b"IEND", b""):
            return
        if kind == b"eXIf":
            check_fields(data[place + 8 : place + 8 + length])
        place += 12 + length
    raise too_many("PNG chunks", CHUNKS)
