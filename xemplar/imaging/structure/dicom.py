"""Limits elements, items and fragments of a DICOM data set (PS3.5, 7)."""

from typing import NamedTuple

from xemplar.imaging.structure import too_many

PARTS = 20_000
"""Maximum of elements, items and fragments, nested ones included; images have a few hundred."""

TABLE = 4_096
"""Maximum bytes of the frame offset table and of the character sets; both are read completely."""

PIXEL_DATA, CHARACTER_SET = 0x7FE00010, 0x00080005
DELIMITERS, ITEM = 0xFFFE, 0xFFFEE000

SEQUENCES = frozenset([0x00082218, 0x00082228, 0x00540220, 0x00283000, 0x00283010])
"""Sequences that `part10` requests; others are skipped if their length is defined."""

UNDEFINED = 0xFFFFFFFF

LONG = frozenset([
    b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
])  # fmt: skip
"""Value representations with a four-byte length field."""


class _Part(NamedTuple):
    """An element or item: ``vr`` is empty if implicit, ``start`` is the offset of the value."""

    tag: int
    vr: bytes
    length: int
    start: int


def check_parts(data: bytes, offset: int) -> None:
    """Reject a data set with too many parts.

    Walks from part to part, into sequences and past all other values, without tracking nesting.

    Args:
        data: a file.
        offset: of its first element.

    Raises:
        UnreadableImage: more than `PARTS` parts, or a table longer than `TABLE` bytes.
    """
    is_explicit, order = True, "little"  # file meta information (PS3.10, 7.1)
    is_meta, is_compressed, is_first = True, False, False
    for _ in range(PARTS):
        if offset + 8 > len(data):
            return
        if is_meta and data[offset : offset + 2] != b"\2\0":
            is_meta, is_explicit, order = False, *_coding(data, offset)
        part = _part(data, offset, is_explicit, order)
        if is_compressed and part.tag == ITEM:
            _check_table(part.length if is_first else 0, "offsets of frames")
            is_first, offset = False, part.start + part.length
            continue
        if part.tag == CHARACTER_SET:
            _check_table(part.length, "names of character sets")
        is_compressed = is_first = part.length == UNDEFINED and (
            part.tag == PIXEL_DATA or part.vr not in (b"", b"SQ", b"UN")
        )
        enters = part.tag >> 16 == DELIMITERS or part.tag in SEQUENCES or part.length == UNDEFINED
        offset = part.start + (0 if enters else part.length)
    raise too_many("DICOM elements, items or fragments", PARTS)


def _check_table(length: int, what: str) -> None:
    if TABLE < length < UNDEFINED:
        raise too_many(f"bytes in its {what}", TABLE)


def _coding(data: bytes, offset: int) -> tuple[bool, str]:
    """Detect explicit VR and the byte order from one element."""
    vr = data[offset + 4 : offset + 6]
    # the group numbers that begin a data set are below 256
    return vr.isalpha() and vr.isupper(), "big" if data[offset] == 0 else "little"


def _part(data: bytes, offset: int, is_explicit: bool, order: str) -> _Part:
    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], order)  # type: ignore[arg-type]

    tag, vr = number(offset, 2) << 16 | number(offset + 2, 2), data[offset + 4 : offset + 6]
    # like pydicom: two bytes that are not a VR belong to the length
    if not is_explicit or not b"AA" <= vr <= b"ZZ":
        return _Part(tag, b"", number(offset + 4, 4), offset + 8)
    if vr in LONG:
        return _Part(tag, vr, number(offset + 8, 4), offset + 12)
    return _Part(tag, vr, number(offset + 6, 2), offset + 8)
