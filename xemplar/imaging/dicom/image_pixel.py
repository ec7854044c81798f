"""Reads how a DICOM header describes its pixels (PS3.3 C.7.6.3), and refuses what is no image."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xemplar.errors import UnreadableImage, UnsupportedImage
from xemplar.imaging.dicom.elements import number, text
from xemplar.imaging.dicom.header import sop_class
from xemplar.imaging.radiograph import Limits, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITIES = frozenset({"CR", "DX", "DR", "RG", "RF", "XR", "OT", ""})
"""Modalities that may be a projection radiograph: DICOM's, and DR and XR, which devices write
instead; the empty one is a header without it."""

STORAGE = "1.2.840.10008.5.1.4.1.1."
"""Root of the storage SOP classes (PS3.4 B.5)."""

PROJECTIONS = tuple(STORAGE + number for number in ("1", "1.1", "1.1.1", "7", "12.2"))
"""SOP classes that may be a projection radiograph: CR, DX for presentation and for processing,
secondary capture, and radiofluoroscopy."""

SECONDARY = STORAGE + "7."
"""Secondary capture of several frames, with its subclasses."""

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})

COLOURS = frozenset([
    "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT",
])  # fmt: skip
"""Photometric interpretations in which a grey image may be stored as three equal channels."""


@dataclass(frozen=True)
class ImagePixel:
    """Describes stored pixels.

    Attributes:
        rows: height, in pixels.
        columns: width, in pixels.
        samples: per pixel: 1, or 3 for colour.
        photometric: interpretation, one of `GREY`, `COLOURS` or "PALETTE COLOR".
        planar: whether each channel is stored as a whole.
        allocated: bits of one stored sample: 1, 8, 16 or 32.
        stored: bits of it that are used.
        high: place of the highest used bit, from 0.
        signed: whether samples are two's complement.
        warnings: what the header leaves open, one sentence each.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    allocated: int
    stored: int
    high: int
    signed: bool
    warnings: tuple[str, ...] = ()


def image_pixel(header: "Dataset", limits: Limits) -> ImagePixel:
    """Read the description of the pixels; what is absent or empty takes its usual value.

    Raises:
        UnsupportedImage: no projection radiograph, no pixels, several frames, an unknown colour
            model or depth.
        ImageTooLarge: more pixels than the limit.
        NotARadiograph: too small to see anything.
        UnreadableImage: no rows or no columns.
    """
    _check_kind(header)
    rows, columns = _whole(header, "Rows", 0), _whole(header, "Columns", 0)
    if rows <= 0 or columns <= 0:
        raise UnreadableImage(
            f"the DICOM header says {rows} rows and {columns} columns; export the image again"
        )
    check_size(columns, rows, limits)
    photometric, samples, warnings = _photometric(header)
    allocated = _whole(header, "BitsAllocated", 0) or _allocated(header, rows * columns * samples)
    if allocated not in (1, 8, 16, 32):
        raise UnsupportedImage(
            f"the DICOM header allocates {allocated} bits to a sample; 1, 8, 16 and 32 can be read"
        )
    stored = _whole(header, "BitsStored", allocated)
    stored = stored if 0 < stored <= allocated else allocated
    high = _whole(header, "HighBit", stored - 1)
    return ImagePixel(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=_whole(header, "PlanarConfiguration", 0) == 1,
        allocated=allocated,
        stored=stored,
        high=high if stored - 1 <= high < allocated else stored - 1,
        signed=_whole(header, "PixelRepresentation", 0) == 1,
        warnings=warnings,
    )


def _quoted(said: str) -> str:
    """Quote a word of a closed list; what else stands in its place could name the patient."""
    return repr(said) if re.fullmatch("[A-Z0-9_]{1,16}", said) else "not a word of DICOM"


def _whole(header: "Dataset", keyword: str, absent: int) -> int:
    value = number(header, keyword)
    return absent if value is None else int(value)


def _check_kind(header: "Dataset") -> None:
    modality = text(header, "Modality")
    if modality not in MODALITIES:
        raise UnsupportedImage(
            f"the DICOM modality is {_quoted(modality)}; a projection radiograph is CR or DX"
        )
    kind = sop_class(header)
    if kind.startswith(STORAGE) and kind not in PROJECTIONS and not kind.startswith(SECONDARY):
        from pydicom.uid import UID

        # of an unknown one even the UID is not repeated: where a length is wrong, it is followed by
        # the patient's name
        known = UID(kind)
        said = f"of the class {known.name!r}" if known.keyword else "of an unknown class"
        raise UnsupportedImage(
            f"the DICOM object is {said}; a projection radiograph is a Computed Radiography or "
            "Digital X-Ray image"
        )
    if "PixelData" not in header:
        raise UnsupportedImage(
            "the DICOM object has no pixel data in integers; send the image object itself"
        )
    frames = _whole(header, "NumberOfFrames", 1)
    if frames > 1:
        raise UnsupportedImage(f"the DICOM object has {frames} frames; send a single image")


def _photometric(header: "Dataset") -> tuple[str, int, tuple[str, ...]]:
    """Photometric interpretation and samples per pixel, and what was supposed about them."""
    photometric = text(header, "PhotometricInterpretation")
    samples = _whole(header, "SamplesPerPixel", 3 if photometric in COLOURS else 1)
    if photometric not in {*GREY, *COLOURS, "PALETTE COLOR", ""}:
        raise UnsupportedImage(
            f"the DICOM photometric interpretation is {_quoted(photometric)}; "
            "a radiograph is MONOCHROME1 or MONOCHROME2"
        )
    if samples not in (1, 3):
        raise UnsupportedImage(
            f"the DICOM object has {samples} samples per pixel; a radiograph has 1"
        )
    supposed = photometric
    if samples == 1 and photometric not in {*GREY, "PALETTE COLOR"}:
        supposed = "MONOCHROME2"
    elif samples == 3 and photometric not in COLOURS:
        supposed = "RGB"
    if supposed == photometric:
        return photometric, samples, ()
    said = f"photometric interpretation {photometric!r}" if photometric else "no interpretation"
    return (
        supposed,
        samples,
        (
            f"the DICOM header says {said} with {samples} samples per pixel; "
            f"the image was read as {supposed}",
        ),
    )


def _allocated(header: "Dataset", count: int) -> int:
    """Bits allocated, told from the length of uncompressed pixels."""
    data = header.get_item("PixelData").value
    size = len(data) if isinstance(data, bytes) else 0
    return 8 if size < 2 * count else 16
