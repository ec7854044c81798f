"""Reads the pixel description of a DICOM header (PS3.3 C.7.6.3); rejects unsupported objects."""

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
"""Modalities that may be a projection radiograph: DICOM's, plus the non-standard DR and XR; empty
for a header without one."""

STORAGE = "1.2.840.10008.5.1.4.1.1."
"""Root of the storage SOP classes (PS3.4 B.5)."""

PROJECTIONS = tuple(STORAGE + number for number in ("1", "1.1", "1.1.1", "7", "12.2"))
"""SOP classes that may be a projection radiograph: CR, DX for presentation and for processing,
secondary capture, and radiofluoroscopy."""

SECONDARY = STORAGE + "7."
"""Prefix of the multi-frame secondary capture classes."""

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})

COLOURS = frozenset([
    "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT",
])  # fmt: skip
"""Photometric interpretations that may store a grey image as three equal channels."""


@dataclass(frozen=True)
class ImagePixel:
    """Description of stored pixels.

    Attributes:
        rows: height, in pixels.
        columns: width, in pixels.
        samples: samples per pixel: 1, or 3 for colour.
        photometric: photometric interpretation, one of `GREY`, `COLOURS` or "PALETTE COLOR".
        planar: whether channels are stored one after another.
        allocated: bits allocated to a sample: 1, 8, 16 or 32.
        stored: bits used by a sample.
        high: index of the highest used bit, from 0.
        signed: whether samples are in two's complement.
        warnings: assumptions made where the header is unclear, one sentence each.
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
    """Read the pixel description; absent or empty attributes take their usual value.

    Raises:
        UnsupportedImage: not a projection radiograph, no pixels, several frames, or an unknown
            colour model or depth.
        ImageTooLarge: more pixels than the limit.
        NotARadiograph: fewer pixels on a side than the limit.
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


def _quoted(value: str) -> str:
    """Quote a value shaped like a defined term; anything else could identify the patient."""
    return repr(value) if re.fullmatch("[A-Z0-9_]{1,16}", value) else "not a DICOM defined term"


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

        # an unknown UID is not quoted: with a wrong length, it runs into the patient's name
        known = UID(kind)
        described = f"of the class {known.name!r}" if known.keyword else "of an unknown class"
        raise UnsupportedImage(
            f"the DICOM object is {described}; a projection radiograph is a Computed Radiography "
            "or Digital X-Ray image"
        )
    if "PixelData" not in header:
        raise UnsupportedImage(
            "the DICOM object has no pixel data in integers; send the image object itself"
        )
    frames = _whole(header, "NumberOfFrames", 1)
    if frames > 1:
        raise UnsupportedImage(f"the DICOM object has {frames} frames; send a single image")


def _photometric(header: "Dataset") -> tuple[str, int, tuple[str, ...]]:
    """Read photometric interpretation and samples per pixel; warn of assumptions."""
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
    assumed = photometric
    if samples == 1 and photometric not in {*GREY, "PALETTE COLOR"}:
        assumed = "MONOCHROME2"
    elif samples == 3 and photometric not in COLOURS:
        assumed = "RGB"
    if assumed == photometric:
        return photometric, samples, ()
    stated = f"photometric interpretation {photometric!r}" if photometric else "no interpretation"
    return (
        assumed,
        samples,
        (
            f"the DICOM header says {stated} with {samples} samples per pixel; "
            f"the image was read as {assumed}",
        ),
    )


def _allocated(header: "Dataset", count: int) -> int:
    """Infer bits allocated from the length of uncompressed pixels."""
    data = header.get_item("PixelData").value
    size = len(data) if isinstance(data, bytes) else 0
    return 8 if size < 2 * count else 16
