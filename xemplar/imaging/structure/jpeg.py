"""Segments and scans of a JPEG (ITU-T T.81, B.1)."""

import re

from xemplar.imaging.structure.refusal import too_many
from xemplar.imaging.structure.tiff import check_fields

SEGMENTS = 1_000
"""Before the first scan; a colour profile may have 255."""

STRAY = 4_096
"""Bytes between these segments, which belong to none."""

SCANS = 100
"""Of a whole file, with previews; progressive JPEG has about 10, libtiff allows as many as here."""

SCAN_PIXELS = 1_000_000_000
"""Pixels times scans: each scan may change all of them. Ten of the largest image are 0.4 of it."""

MARKER = re.compile(rb"\xff[^\x00\xff]")
SOS, APP1, EXIF = b"\xff\xda", b"\xff\xe1", b"Exif\0\0"

BARE = frozenset([0x01, *range(0xD0, 0xDA)])
"""Markers without a length: TEM, RSTn, SOI, EOI."""


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG of too many segments, stray bytes, or EXIF fields, in front of its first scan.

    Raises:
        UnreadableImage: it has.
    """
    place, stray = 2, 0
    for _ in range(SEGMENTS):
        found = MARKER.search(data, place)
        stray += (found.start() if found else len(data)) - place
        if stray > STRAY:
            raise too_many("bytes between its JPEG segments", STRAY)
        if found is None or found[0] == SOS:
            return
        place = found.end()
        if found[0][1] in BARE:
            continue
        end = place + int.from_bytes(data[place : place + 2], "big")
        if found[0] == APP1 and data.startswith(EXIF, place + 2):
            check_fields(data[place + 2 + len(EXIF) : end])
        place = end
    raise too_many("JPEG segments before its first scan", SEGMENTS)


def check_scans(data: bytes, pixels: int) -> None:
    """Refuse a JPEG or JPEG-LS stream of too many scans.

    Coded pixels never look like a marker (T.81 F.1.2.3, T.87 A.1), so markers are counted.

    Args:
        data: the stream.
        pixels: that it declares.

    Raises:
        UnreadableImage: more than `SCANS`, or than `SCAN_PIXELS` for its size.
    """
    most = min(SCANS, SCAN_PIXELS // max(pixels, 1))
    if data.count(SOS) > most:
        raise too_many("JPEG scans", most)
