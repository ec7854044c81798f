"""Limits packets of a JPEG 2000 stream (ITU-T T.800: A.5.1 SIZ, A.6.1 COD, B.3, B.6)."""

import struct

from xemplar.imaging.structure import too_many

TILES = 10_000
"""Maximum tiles; the largest image has fewer tiles of 64 pixels."""

PACKETS = 250_000
"""Maximum packets of all tiles; a lossless 36-megapixel image in one tile has a few thousand."""

COD = b"\xff\x52"


def check_packets(stream: bytes) -> None:
    """Reject a stream that declares too many tiles or packets, which decoders allocate up front.

    Args:
        stream: starts with SOC and SIZ.

    Raises:
        UnreadableImage: a limit is exceeded.
    """
    x1, y1, width, height = struct.unpack(">2L8x2L", stream[8:32].ljust(24, b"\0"))
    width, height = max(min(width, x1), 1), max(min(height, y1), 1)
    tiles = -(-x1 // width) * -(-y1 // height)
    if tiles > TILES:
        raise too_many("JPEG 2000 tiles", TILES)
    offset = max(stream.find(COD), 0)
    fields = stream[offset + 4 : offset + 10].ljust(6, b"\0")
    style, _, layers, _, levels = struct.unpack(">BBHBB", fields)
    precincts = 0
    for resolution in range(min(levels, 32) + 1):
        size_offset = offset + 14 + resolution
        sizes = stream[size_offset : size_offset + 1] if style & 1 else b""
        size = int.from_bytes(sizes or b"\xff", "big")
        side_of = ((width, size & 15), (height, size >> 4))
        across, down = (
            (side >> (levels - resolution) >> exponent) + 1 for side, exponent in side_of
        )
        precincts += across * down
    if tiles * layers * precincts * int.from_bytes(stream[40:42], "big") > PACKETS:
        raise too_many("JPEG 2000 packets", PACKETS)
