"""Limits segments and scans of a JPEG (ITU-T T.81, B.1)."""

import re

from xemplar.imaging.structure import too_many
from xemplar.imaging.structure.tiff import check_fields

SEGMENTS = 1_000
"""Maximum segments before the first scan; a colour profile may have 255."""

STRAY = 4_096
"""Maximum bytes between these segments that belong to none."""

SCANS = 100
"""Maximum scans of a file, previews included; progressive JPEG has about 10, libtiff allows 100."""

SCAN_PIXELS = 1_000_000_000
"""Maximum of pixels times scans: each scan may rewrite every pixel. Ten scans of the largest image
reach 40 % of it."""

MARKER = re.compile(rb"\xff[^\x00\xff]")
SOS, APP1, EXIF = b"\xff\xda", b"\xff\xe1", b"Exif\0\0"

BARE = frozenset([0x01, *range(0xD0, 0xDA)])
"""Markers without a length: TEM, RSTn, SOI, EOI."""


def check_jpeg(data: bytes) -> None:
    """Reject a JPEG with too many segments, stray bytes or EXIF fields before its first scan.

    Raises:
        UnreadableImage: a limit is exceeded.
    """
    offset, stray = 2, 0
    for _ in range(SEGMENTS):
        found = MARKER.search(data, offset)
        stray += (found.start() if found else len(data)) - offset
        if stray > STRAY:
            raise too_many("bytes between its JPEG segments", STRAY)
        if found is None or found[0] == SOS:
            return
        offset = found.end()
        if found[0][1] in BARE:
            continue
        end = offset + int.from_bytes(data[offset : offset + 2], "big")
        if found[0] == APP1 and data.startswith(EXIF, offset + 2):
            check_fields(data[offset + 2 + len(EXIF) : end])
        offset = end
    raise too_many("JPEG segments before its first scan", SEGMENTS)


def check_scans(data: bytes, pixels: int) -> None:
    """Reject a JPEG or JPEG-LS stream with too many scans.

    Entropy-coded data never contains a marker (T.81 F.1.2.3, T.87 A.1), so markers are counted.

    Args:
        data: the stream.
        pixels: number of pixels that it declares.

    Raises:
        UnreadableImage: more than `SCANS`, or more than `SCAN_PIXELS` allows for its size.
    """
    most = min(SCANS, SCAN_PIXELS // max(pixels, 1))
    if data.count(SOS) > most:
        raise too_many("JPEG scans", most)
