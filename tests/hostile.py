"""Images that exhaust a decoder, and a decoder that some of them drive anywhere."""

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.images import dicom, drawn_image, encapsulated, encoded

IMAGE = encoded(drawn_image(60, 300, 200))
"""An image like others; what follows the end of a PNG is not looked at."""

ENDLESS = IMAGE + b"for ever"
GREEDY = IMAGE + b"all memory"
CRASHING = IMAGE + b"crash"

DRIVEN = """
import os
from xemplar.imaging import decoder_process as worker

decode = worker.decode

def driven(data, limits=None):
    while data.endswith(b"for ever"):
        pass
    taken = []
    while data.endswith(b"all memory"):
        taken.append(bytes(2**22))
    if data.endswith(b"crash"):
        os.abort()
    return decode(data, limits)

worker.decode = driven
worker.main()
"""

COMMAND = (sys.executable, "-I", "-c", DRIVEN)
"""In the place of ``pool.COMMAND``: workers whose decoder those images drive."""


def scans_without_end(count: int, side: int = 1024) -> bytes:
    """A progressive JPEG whose last scan stands there so many times."""
    file = io.BytesIO()
    Image.fromarray(drawn_image(3, side, side)).save(file, "JPEG", progressive=True, quality=1)
    data = file.getvalue()[:-2]
    return data + data[data.rfind(b"\xff\xda") :] * count + b"\xff\xd9"


# ---- bombs: small files whose structure takes long to read, or much memory -----------------------

SIDE = 1024


def png_chunks(kind: bytes, count: int, body: bytes = b"") -> bytes:
    """A PNG with so many chunks of a kind before its pixels."""
    return _png(png_chunk(kind, body) * count)


def png_with_exif(exif: bytes) -> bytes:
    """A PNG with EXIF data."""
    return _png(png_chunk(b"eXIf", exif))


def _png(chunks: bytes) -> bytes:
    start = IMAGE.index(b"IDAT") - 4
    return IMAGE[:start] + chunks + IMAGE[start:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def jpeg_segments(segments: bytes) -> bytes:
    """A JPEG with these bytes behind its start."""
    image = encoded(drawn_image(3, SIDE, SIDE), "JPEG")
    return image[:2] + segments + image[2:]


def directory(order: str, entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A TIFF directory: tag, type, count and value of each entry; and where the next one is."""
    fields = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries)) + fields + struct.pack(order + "I", following)


def overlapping_fields(size: int, count: int) -> bytes:
    """A TIFF header whose fields all have the same bytes for their value: all that follow."""
    start = 8 + 2 + 12 * count + 4
    fields = [(tag, 7, size, start) for tag in range(1000, 1000 + count)]
    return b"II*\0" + struct.pack("<I", 8) + directory("<", fields) + bytes(size)


def tiff_directories(count: int) -> bytes:
    """A TIFF with so many directories, each with the same picture."""
    pixels = drawn_image(3, 64, 64).tobytes()
    start, size = 8 + len(pixels), 2 + 12 * 8 + 4
    fields = [
        (256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (278, 3, 1, 64), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    chain = (start + size * (n + 1) if n + 1 < count else 0 for n in range(count))
    directories = b"".join(directory("<", fields, following) for following in chain)
    return b"II*\0" + struct.pack("<I", start) + pixels + directories


def tiff_pieces(height: int, tiled: bool = False) -> bytes:
    """A TIFF, 64 wide, in strips of one row, or in as many tiles of one pixel."""
    count = height * (64 if tiled else 1)
    places = 8 + 64 * height
    sizes = places + 4 * count
    start = sizes + 4 * count
    step = 1 if tiled else 64
    data = drawn_image(3, 64, 64).tobytes() * (height // 64 + 1)
    offsets = np.arange(8, 8 + step * count, step, dtype="<u4").tobytes()
    fields = [(256, 4, 1, 64), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    if tiled:
        fields += [(322, 3, 1, 1), (323, 3, 1, 1), (324, 4, count, places), (325, 4, count, sizes)]
    else:
        fields += [(273, 4, count, places), (278, 3, 1, 1), (279, 4, count, sizes)]
    body = data[: 64 * height] + offsets + np.full(count, step, "<u4").tobytes()
    return b"II*\0" + struct.pack("<I", start) + body + directory("<", fields)


EMPTY_ITEM = b"\xfe\xff\0\xe0\0\0\0\0"
VIEW_CODES = b"\x54\0\x20\2SQ\0\0"
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"


def dicom_with(elements: bytes, group: int = 0, deflated: bool = False) -> bytes:
    """A DICOM image with these elements, in explicit VR, in front of those of a group."""
    syntax = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    plain = dicom(drawn_image(3, 96, 96), TransferSyntaxUID=ExplicitVRLittleEndian)
    start = plain.index(b"\x08\0\x16\0UI")
    place = plain.index(group.to_bytes(2, "little"), start) if group else start
    place = plain.index(b"\x28\0\2\0US") if group == 0x28 else place
    body = plain[start:place] + elements + plain[place:]
    if not deflated:
        return plain[:start] + body
    empty = dicom(drawn_image(3, 96, 96), TransferSyntaxUID=syntax)
    deflating = zlib.compressobj(9, wbits=-15)
    length = int.from_bytes(empty[140:144], "little")
    return empty[: 144 + length] + deflating.compress(body) + deflating.flush()


def meta_elements(count: int) -> bytes:
    """A DICOM image with so many elements in its file meta information."""
    image = dicom(drawn_image(3, 96, 96))
    length = int.from_bytes(image[140:144], "little")
    more = b"".join(b"\2\0" + struct.pack("<H", 0x102) + b"UI\0\0" for _ in range(count))
    whole = image[:140] + struct.pack("<I", length + len(more)) + image[144 : 144 + length]
    return whole + more + image[144 + length :]


def nested(depth: int) -> bytes:
    """A DICOM image with sequences in one another."""
    opening = VIEW_CODES + b"\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    return dicom_with(opening * depth, group=0x28)


def fragments(offsets: int, count: int) -> bytes:
    """A compressed DICOM image with so many offsets in its table, and empty fragments."""
    pixels = drawn_image(3, 96, 96)
    image = encapsulated(pixels, encoded(pixels, "JPEG"), JPEGBaseline8Bit)
    start = image.index(b"\xe0\x7f\x10\0") + 12
    table = b"\xfe\xff\0\xe0" + struct.pack("<I", 4 * offsets) + bytes(4 * offsets)
    return image[:start] + table + EMPTY_ITEM * count + image[start + 8 :]


def in_dicom(frame: bytes, side: int, syntax: str) -> bytes:
    """A DICOM image, square, whose frame is this stream."""
    return encapsulated(np.zeros((side, side), np.uint8), frame, syntax)


def jpeg_2000(side: int, tile: int, layers: int, precinct: int = 15) -> bytes:
    """The header of a JPEG 2000 stream, and its first tile, which is empty.

    Args:
        side: of the picture, in pixels.
        tile: side of a tile.
        layers: of quality.
        precinct: log2 of a precinct's side.
    """
    siz = struct.pack(">H8IH3B", 0, side, side, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1)
    cod = struct.pack(">BBHBBBBBB", 1, 0, layers, 0, 5, 4, 4, 0, 1) + bytes([precinct * 17] * 6)
    qcd = b"\x40" + bytes([64] * 16)
    header = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
        for marker, body in ((0x51, siz), (0x52, cod), (0x5C, qcd))
    )
    start_of_tile = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14 + 64, 0, 1) + b"\xff\x93"
    return b"\xff\x4f" + header + start_of_tile + bytes(64) + b"\xff\xd9"


def rle(side: int, size: int) -> bytes:
    """An RLE frame (PS3.5 G) of one segment that goes on for so many bytes."""
    return struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\x07" * (size // 2)


BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG, 4,000 scans": lambda: scans_without_end(4_000),
    "JPEG, 100,000 scans": lambda: scans_without_end(100_000),
    "JPEG, 150 scans of 36 megapixels": lambda: scans_without_end(150, 6000),
    "JPEG, a million comments": lambda: jpeg_segments(b"\xff\xfe\0\2" * 1_000_000),
    "JPEG, a million application segments": lambda: jpeg_segments(b"\xff\xe5\0\2" * 1_000_000),
    "JPEG, 20 MB before its header": lambda: jpeg_segments(b"\xff\0" * 10_000_000),
    "JPEG, 20 MB of fill bytes": lambda: jpeg_segments(b"\xff" * 20_000_000),
    "JPEG, overlapping EXIF": lambda: jpeg_segments(
        b"\xff\xe1\xff\xf0Exif\0\0" + overlapping_fields(5_000, 5_000).ljust(0xFFF0 - 8, b"\0")
    ),
    "PNG, 300,000 text chunks": lambda: png_chunks(b"tEXt", 300_000),
    "PNG, a million private chunks": lambda: png_chunks(b"prVt", 1_000_000),
    "PNG, a million empty IDAT": lambda: png_chunks(b"IDAT", 1_000_000),
    "PNG, text that inflates": lambda: png_chunks(
        b"zTXt", 20, b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    ),
    "PNG, profile that inflates": lambda: png_chunks(
        b"iCCP", 1, b"Profile\0\0" + zlib.compress(bytes(2**28), 9)
    ),
    "PNG, overlapping EXIF": lambda: png_with_exif(overlapping_fields(1_000_000, 60_000)),
    "TIFF, 20,000 directories": lambda: tiff_directories(20_000),
    "TIFF, 300,000 directories": lambda: tiff_directories(300_000),
    "TIFF, overlapping fields": lambda: overlapping_fields(1_000_000, 60_000),
    "TIFF, 500,000 strips": lambda: tiff_pieces(500_000),
    "TIFF, 640,000 tiles": lambda: tiff_pieces(10_000, tiled=True),
    "DICOM, deflated empty items": lambda: dicom_with(
        VIEW_CODES + struct.pack("<I", 60_000_000) + EMPTY_ITEM * 7_500_000, 0x28, deflated=True
    ),
    "DICOM, deflated empty items without length": lambda: dicom_with(
        VIEW_CODES + b"\xff\xff\xff\xff" + EMPTY_ITEM * 7_500_000 + END_OF_SEQUENCE,
        0x28,
        deflated=True,
    ),
    "DICOM, items in a sequence of UN": lambda: dicom_with(
        b"\x54\0\x20\2UN\0\0" + struct.pack("<I", 8_000_000) + EMPTY_ITEM * 1_000_000, 0x28
    ),
    "DICOM, 500,000 empty elements": lambda: dicom_with(
        b"".join(struct.pack("<HH4s", 0x19, n % 2**16, b"LO\0\0") for n in range(500_000)), 0x28
    ),
    "DICOM, 500,000 meta elements": lambda: meta_elements(500_000),
    "DICOM, a million character sets": lambda: dicom_with(
        b"\x08\0\5\0UN\0\0" + struct.pack("<I", 4_000_000) + b"AB \\" * 1_000_000
    ),
    "DICOM, 50,000 sequences in one another": lambda: nested(50_000),
    "DICOM, a private element of 60 MB": lambda: dicom_with(
        b"\x19\0\x10\x10OB\0\0" + struct.pack("<I", 60_000_000) + bytes(60_000_000), 0x28
    ),
    "DICOM, a million fragments": lambda: fragments(0, 1_000_000),
    "DICOM, ten million offsets": lambda: fragments(10_000_000, 1),
    "DICOM, JPEG of 4,000 scans": lambda: in_dicom(
        scans_without_end(4_000), 1024, JPEGBaseline8Bit
    ),
    "DICOM, RLE that goes on": lambda: in_dicom(rle(96, 30_000_000), 96, RLELossless),
    "JPEG 2000, tiles of 1 pixel": lambda: in_dicom(jpeg_2000(250, 1, 1), 250, JPEG2000),
    "JPEG 2000, tiles of 16 pixels in 16 megapixels": lambda: in_dicom(
        jpeg_2000(4000, 16, 1), 4000, JPEG2000
    ),
    "JPEG 2000, 65,535 layers": lambda: in_dicom(jpeg_2000(2048, 2048, 65_535), 2048, JPEG2000),
    "JPEG 2000, precincts of 2 pixels": lambda: in_dicom(
        jpeg_2000(6000, 6000, 1, 1), 6000, JPEG2000
    ),
}
"""Files for a service to refuse, in less than two seconds and 300 MB, each made when asked for."""


def processor_seconds(process: int) -> float:
    """For which a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(process: int) -> int:
    """Most bytes that a process has taken, with what it shares; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
