"""Reads DICOM headers, including those of files that do not conform to PS3.10."""

import zlib
from collections.abc import Collection
from io import BytesIO
from typing import TYPE_CHECKING

from xemplar.errors import ImageTooLarge, UnreadableImage
from xemplar.imaging.radiograph import Limits
from xemplar.imaging.structure.dicom import check_parts

if TYPE_CHECKING:
    from pydicom import Dataset

GROUPS = frozenset({0x0002, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028})
"""Groups with which a data set may begin."""

NEEDED = [
    "SOPClassUID", "Modality", "PresentationIntentType", "BurnedInAnnotation",
    "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "PatientSex", "PatientAge",
    "BodyPartExamined", "ViewPosition", "ViewCodeSequence", "PatientOrientation",
    "AnatomicalOrientationType", "ImagerPixelSpacing", "PixelSpacing", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelData",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
]  # fmt: skip
"""Elements that are read; none identifies the patient."""

PREFIX = b"DICM"

PIXELS = 0x7FE00010
"""Tag of PixelData; garbage after it does not invalidate an image."""

SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""The delimiter after compressed pixels (PS3.5 7.5.1)."""


def is_dicom(data: bytes) -> bool:
    """Check if a file is DICOM, by its prefix or else the first element of a data set."""
    start = 4 if data.startswith(PREFIX) else 0
    return data[128:132] == PREFIX or _begins_with_element(data, start) or _preamble(data) > 0


def read_header(
    data: bytes, limits: Limits, keywords: Collection[str] = tuple(NEEDED)
) -> "Dataset":
    """Read some elements of a DICOM file or a bare data set.

    Without file meta information, the encoding is detected from the first element; PS3.5's default
    is implicit VR little endian (10.1).

    Args:
        data: the complete file.
        limits: size limits.
        keywords: elements to read; others do not exist in the result.

    Raises:
        ImageTooLarge: a deflated data set that inflates beyond the largest file.
        UnreadableImage: no readable elements, or too many.
    """
    # avoid copying a conforming file
    body = data if data[128:132] == PREFIX else data[_preamble(data) :]
    if body.startswith(PREFIX):
        body = bytes(128) + body
    start = 132 if body[128:132] == PREFIX else 0
    check_parts(body, start)
    try:
        inflated = _inflated(body, start, limits)
    except ImageTooLarge:
        raise
    except Exception as error:
        raise _damaged() from error
    check_parts(inflated, 0)
    del inflated  # pydicom inflates it again
    try:
        header = _read(body, keywords)
        cut = "PixelData" in keywords and "PixelData" not in header
        if cut and SEQUENCE_END[:4] not in body[-16:]:
            header = _read(body + SEQUENCE_END, keywords)
    except Exception as error:
        raise _damaged() from error
    if not header:
        raise UnreadableImage(
            "the file begins as DICOM, but no image can be read from it; export the "
            "radiograph again"
        )
    return header


def _preamble(data: bytes) -> int:
    """Size of the preamble, 128 or 0, of a file without the DICM prefix."""
    is_preamble = not any(data[:128]) or data[128:134] == b"\x02\0\0\0UL"
    return 128 if is_preamble and _begins_with_element(data, 128) else 0


def _begins_with_element(data: bytes, start: int) -> bool:
    head = data[start : start + 8]
    little, big = (int.from_bytes(head[:2], order) for order in ("little", "big"))
    if len(head) < 8 or not GROUPS & {little, big}:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    implicit = little in GROUPS and int.from_bytes(head[4:], "little") <= min(len(data), 2**16)
    return explicit or implicit


def _read(body: bytes, keywords: Collection[str]) -> "Dataset":
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    return read_partial(
        BytesIO(body),
        stop_when=lambda tag, *_: tag > PIXELS,
        force=True,
        specific_tags=[Tag(keyword) for keyword in keywords],
    )


def _damaged() -> UnreadableImage:
    return UnreadableImage("the DICOM header is damaged or cut short; export the image again")


def _inflated(body: bytes, start: int, limits: Limits) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), up to the size limit; empty for other files.

    Raises:
        ImageTooLarge: it inflates beyond the limit.
    """
    from pydicom.filereader import read_dataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if body[start : start + 2] != b"\x02\x00":
        return b""
    file = BytesIO(body)
    file.seek(start)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return b""
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), limits.max_bytes + 1)
    if len(inflated) > limits.max_bytes:
        raise ImageTooLarge(
            f"the deflated DICOM data set has more than {limits.max_bytes:,} bytes, the limit; "
            "send it at a smaller size"
        )
    return inflated
