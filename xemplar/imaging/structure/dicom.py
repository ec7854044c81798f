"""Elements, items and fragments of a DICOM data set (PS3.5, 7)."""

from typing import NamedTuple

from xemplar.imaging.structure.refusal import too_many

PARTS = 20_000
"""Elements, items and fragments together, within one another or not; images have a few hundred."""

TABLE = 4_096
"""Bytes of the offsets of frames, and of the names of character sets; both are read whole."""

PIXEL_DATA, CHARACTER_SET = 0x7FE00010, 0x00080005
DELIMITERS, ITEM = 0xFFFE, 0xFFFEE000

SEQUENCES = frozenset([0x00082218, 0x00082228, 0x00540220, 0x00283000, 0x00283010])
"""Of those that `part10` asks for; others are not gone into where their length is known."""

UNDEFINED = 0xFFFFFFFF

LONG = frozenset([
    b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV",
])  # fmt: skip
"""Value representations with a length of four bytes."""


class _Part(NamedTuple):
    """An element or an item; ``vr`` is empty where none is written, ``place`` that of the value."""

    tag: int
    vr: bytes
    length: int
    place: int


def check_parts(data: bytes, place: int) -> None:
    """Refuse a data set of too many parts.

    Goes on from part to part, into sequences and past all other values. It does not note which are
    open, so that nesting costs nothing.

    Args:
        data: a file.
        place: of its first element.

    Raises:
        UnreadableImage: more than `PARTS`, or a longer table than `TABLE`.
    """
    is_explicit, order = True, "little"  # as file meta information is (PS3.10, 7.1)
    is_meta, is_compressed, is_first = True, False, False
    for _ in range(PARTS):
        if place + 8 > len(data):
            return
        if is_meta and data[place : place + 2] != b"\2\0":
            is_meta, is_explicit, order = False, *_coding(data, place)
        part = _part(data, place, is_explicit, order)
        if is_compressed and part.tag == ITEM:
            _check_table(part.length if is_first else 0, "offsets of frames")
            is_first, place = False, part.place + part.length
            continue
        if part.tag == CHARACTER_SET:
            _check_table(part.length, "names of character sets")
        is_compressed = is_first = part.length == UNDEFINED and (
            part.tag == PIXEL_DATA or part.vr not in (b"", b"SQ", b"UN")
        )
        goes_in = part.tag >> 16 == DELIMITERS or part.tag in SEQUENCES or part.length == UNDEFINED
        place = part.place + (0 if goes_in else part.length)
    raise too_many("DICOM elements, items or fragments", PARTS)


def _check_table(length: int, what: str) -> None:
    if TABLE < length < UNDEFINED:
        raise too_many(f"bytes in its {what}", TABLE)


def _coding(data: bytes, place: int) -> tuple[bool, str]:
    """Whether value representations are written, and the byte order; told from one element."""
    vr = data[place + 4 : place + 6]
    # no group that a data set begins with has a second byte
    return vr.isalpha() and vr.isupper(), "big" if data[place] == 0 else "little"


def _part(data: bytes, place: int, is_explicit: bool, order: str) -> _Part:
    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], order)  # type: ignore[arg-type]

    tag, vr = number(place, 2) << 16 | number(place + 2, 2), data[place + 4 : place + 6]
    # as pydicom does it: what is no VR is part of a length
    if not is_explicit or not b"AA" <= vr <= b"ZZ":
        return _Part(tag, b"", number(place + 4, 4), place + 8)
    if vr in LONG:
        return _Part(tag, vr, number(place + 8, 4), place + 12)
    return _Part(tag, vr, number(place + 6, 2), place + 8)
