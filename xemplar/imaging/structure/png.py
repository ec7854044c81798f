"""Chunks of a PNG (PNG 1.2, 3.2)."""

from collections.abc import Iterator
from typing import NamedTuple

from xemplar.imaging.structure.refusal import too_many
from xemplar.imaging.structure.tiff import check_fields

CHUNKS = 65_536
"""libpng writes 8 KiB of pixels into each: 8,192 in the largest file."""

START = 8
"""Bytes of the signature, behind which the first chunk begins."""


class Chunk(NamedTuple):
    """A chunk's kind, and where it and its body begin and end."""

    kind: bytes
    start: int
    end: int

    @property
    def body(self) -> slice:
        """Place of its content."""
        return slice(self.start + 8, self.end - 4)


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG by the lengths that are written there, IEND the last."""
    place, kind = START, b""
    while place < len(data) and kind != b"IEND":
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        yield Chunk(kind, place, place + 12 + length)
        place += 12 + length


def check_png(data: bytes) -> None:
    """Refuse a PNG of too many chunks.

    Raises:
        UnreadableImage: more than `CHUNKS`, or too many EXIF fields.
    """
    for count, chunk in enumerate(chunks(data), 1):
        if chunk.kind == b"eXIf":
            check_fields(data[chunk.body])
        if count == CHUNKS and chunk.kind != b"IEND":
            raise too_many("PNG chunks", CHUNKS)
