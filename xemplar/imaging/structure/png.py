"""Limits chunks of a PNG (PNG 1.2, 3.2)."""

from collections.abc import Iterator
from typing import NamedTuple

from xemplar.imaging.structure import too_many
from xemplar.imaging.structure.tiff import check_fields

CHUNKS = 65_536
"""Maximum chunks; libpng writes 8 KiB of pixels into each, so 8,192 into the largest file."""

START = 8
"""Offset of the first chunk, after the signature."""


class Chunk(NamedTuple):
    """Type and byte range of a chunk."""

    kind: bytes
    start: int
    end: int

    @property
    def body(self) -> slice:
        """Byte range of its content."""
        return slice(self.start + 8, self.end - 4)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG by their stored lengths, up to IEND."""
    offset, kind = START, b""
    while offset < len(data) and kind != b"IEND":
        length, kind = (
            int.from_bytes(data[offset : offset + 4], "big"),
            data[offset + 4 : offset + 8],
        )
        yield Chunk(kind, offset, offset + 12 + length)
        offset += 12 + length


def check_png(data: bytes) -> None:
    """Reject a PNG with too many chunks.

    Raises:
        UnreadableImage: more than `CHUNKS`, or too many EXIF fields.
    """
    for count, chunk in enumerate(chunks(data), 1):
        if chunk.kind == b"eXIf":
            check_fields(data[chunk.body])
        if count == CHUNKS and chunk.kind != b"IEND":
            raise too_many("PNG chunks", CHUNKS)
