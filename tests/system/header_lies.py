"""Mutations with false headers, which claim a wrong size, length or type."""

import random
import struct
import zlib
from collections.abc import Callable

from pydicom import uid

COUNTS = (0, 1, 2, 3, 7, 8, 12, 16, 63, 64, 255, 256, 4096, 32_767, 32_768, 65_535)
"""False 16-bit counts: zero, small and far too large."""

SIZES = (0, 1, 63, 64, 10_000, 60_000, 2**24, 2**31 - 1, 2**32 - 1)
"""False 32-bit numbers: pixels per side, or bytes of a part."""

TEXTS = (
    b"",
    b"0",
    b"-1",
    b"1",
    b"1e308",
    b"nan",
    b"inf",
    b"1\\2",
    b"\x00",
    b"\xff" * 16,
    b"9" * 300,
)
"""False values of numbers and strings in DICOM."""

SYNTAXES = (
    uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000,
    uid.JPEG2000Lossless, uid.JPEGLossless, uid.JPEGLSLossless, uid.MPEG2MPML, uid.HTJ2K, "1.2.3",
    "",
)  # fmt: skip
"""False transfer syntaxes."""

US = ((0x28, 0x02), (0x28, 0x10), (0x28, 0x11), (0x28, 0x100), (0x28, 0x101), (0x28, 0x102),
      (0x28, 0x103))  # fmt: skip
"""SamplesPerPixel, Rows, Columns, BitsAllocated, BitsStored, HighBit, PixelRepresentation."""

WORDS = ((0x08, 0x60), (0x28, 0x04), (0x28, 0x08), (0x28, 0x30), (0x28, 0x1050), (0x28, 0x1051),
         (0x28, 0x1052), (0x28, 0x1053))  # fmt: skip
"""Modality, PhotometricInterpretation, NumberOfFrames, PixelSpacing, WindowCenter, WindowWidth,
RescaleIntercept, RescaleSlope."""

Change = Callable[[bytes, random.Random], bytes]
"""Mutates a file."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _png_size(data: bytes, draw: random.Random) -> bytes:
    """Replace IHDR, with a valid checksum: size, bit depth, colour, interlacing."""
    width, height = (draw.choice((*SIZES, 128)) for _ in range(2))
    depth, colour = draw.choice((1, 2, 4, 8, 16, 0, 255)), draw.choice((0, 2, 3, 4, 6, 1, 255))
    how = bytes([depth, colour, 0, 0, draw.choice((0, 1))])
    return data[:8] + _chunk(b"IHDR", struct.pack(">II", width, height) + how) + data[33:]


def _png_length(data: bytes, draw: random.Random) -> bytes:
    place = draw.choice((8, 33))  # IHDR, and the chunk after it
    return data[:place] + struct.pack(">I", draw.choice(SIZES)) + data[place + 4 :]


def _png_bomb(data: bytes, draw: random.Random) -> bytes:
    """Add a small chunk that inflates to more than the size limit of a file."""
    kind, head = draw.choice(((b"zTXt", b"note\0\0"), (b"iCCP", b"icc\0\0"), (b"IDAT", b"")))
    return data[:33] + _chunk(kind, head + zlib.compress(bytes(20_000_000))) + data[33:]


def _jpeg_size(data: bytes, draw: random.Random) -> bytes:
    """Replace SOFn: precision, height, width, components."""
    place = max(data.find(b"\xff\xc0\x00"), data.find(b"\xff\xc2\x00"))
    told = struct.pack(
        ">BHHB", draw.choice((8, 8, 12, 0)), *draw.choices(COUNTS, k=2), draw.choice((1, 3, 4, 255))
    )
    return data[: place + 4] + told + data[place + 10 :]


def _jpeg_length(data: bytes, draw: random.Random) -> bytes:
    """Replace the length of a segment."""
    place = draw.choice(
        [at for at in range(len(data) - 4) if data[at] == 0xFF and data[at + 1] > 0xBF]
    )
    return data[: place + 2] + struct.pack(">H", draw.choice(COUNTS)) + data[place + 4 :]


def _jpeg_exif(data: bytes, draw: random.Random) -> bytes:
    """Add an EXIF segment with noise or an invalid orientation."""
    entry = struct.pack("<HHII", 0x0112, 3, draw.choice(SIZES), draw.choice(COUNTS))
    exif = b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    content = b"Exif\0\0" + draw.choice((exif, draw.randbytes(200)))
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def _dicom_count(data: bytes, draw: random.Random) -> bytes:
    """Replace one or two of Rows, Columns, BitsAllocated and similar elements."""
    for tag in draw.sample(US, draw.choice((1, 2))):
        data = _element(data, tag, struct.pack("<H", draw.choice(COUNTS)))
    return data


def _dicom_word(data: bytes, draw: random.Random) -> bytes:
    return _element(data, draw.choice(WORDS), draw.choice(TEXTS))


def _dicom_syntax(data: bytes, draw: random.Random) -> bytes:
    return _element(data, (0x02, 0x10), str(draw.choice(SYNTAXES)).encode())


def _dicom_length(data: bytes, draw: random.Random) -> bytes:
    """Replace the length of the pixel data, after value representation and 2 reserved bytes."""
    place = data.rfind(struct.pack("<HH", 0x7FE0, 0x10))
    place += 8 if data[place + 4 : place + 6] in (b"OW", b"OB") else 4
    return data[:place] + struct.pack("<I", draw.choice(SIZES)) + data[place + 4 :]


def _element(data: bytes, tag: tuple[int, int], value: bytes) -> bytes:
    """Replace an element's value, in explicit or implicit little endian, if present."""
    place = data.find(struct.pack("<HH", *tag))
    if place < 0:
        return data
    value += b"\0" * (len(value) % 2)
    form = "<H" if data[place + 4 : place + 6].isalpha() else "<I"
    at = place + (6 if form == "<H" else 4)
    begin = at + struct.calcsize(form)
    (length,) = struct.unpack(form, data[at:begin])
    return data[:at] + struct.pack(form, len(value)) + value + data[begin + length :]


LIES: dict[str, dict[str, Change]] = {
    "PNG": {"IHDR": _png_size, "chunk length": _png_length, "bomb": _png_bomb},
    "JPEG": {"SOF": _jpeg_size, "segment length": _jpeg_length, "EXIF": _jpeg_exif},
    "DICOM": {
        "count": _dicom_count,
        "word": _dicom_word,
        "transfer syntax": _dicom_syntax,
        "pixel length": _dicom_length,
    },
}
