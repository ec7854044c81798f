"""DICOM: header checks, the fields that are kept, and the way to the pixels."""

import hashlib
import sys
from io import BytesIO
from typing import TYPE_CHECKING

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage, UnsupportedImage
from xemplar.radiograph import header as said
from xemplar.radiograph.codestream import check_codestream, check_deflated, stored_values
from xemplar.radiograph.film import Limits, Radiograph, check_size
from xemplar.radiograph.window import displayed

if TYPE_CHECKING:
    from pydicom import Dataset

PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "OT", ""})
"""DICOM modalities that may be a projection radiograph; the empty one is a header without it."""


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM PS3.10 wants it."""
    return data[128:132] == b"DICM"


def decode_dicom(data: bytes, limits: Limits) -> Radiograph:
    """Decode a DICOM file; raises as `xemplar.radiograph.decode` does."""
    # pydicom would load GDCM, whose zlib and OpenSSL then take the place of those that libraries
    # loaded later bring: Pillow, for one, ends the process. GDCM works apart (`stored_values`)
    sys.modules.setdefault("gdcm", None)  # type: ignore[arg-type]  # Python's way to forbid it
    import pydicom  # costs 0.1 s, and most films are no DICOM

    try:
        check_deflated(data, limits)
        header = pydicom.dcmread(BytesIO(data))
    except ImageTooLarge:
        raise
    except Exception as error:
        raise UnreadableImage(f"the DICOM header is damaged or cut short: {error}") from error
    try:
        _check_dicom(header, limits)
        stored = stored_values(header)
        if stored.shape != (header.Rows, header.Columns):
            raise UnreadableImage(
                f"the DICOM header says {header.Rows} x {header.Columns}, but the pixels are "
                f"{' x '.join(map(str, stored.shape))}"
            )
        pixels = displayed(stored, header)
        return Radiograph(
            pixels=pixels,
            source_size=(pixels.shape[0], pixels.shape[1]),
            sha256=hashlib.sha256(data).hexdigest(),
            format="DICOM",
            view=said.view(header),
            photometric=said.text(header, "PhotometricInterpretation") or None,
            spacing_mm=said.spacing(header),
            body_part=said.body_part(header),
            sex=said.sex(header),
            age=said.age(header),
            warnings=said.warnings(header),
        )
    except (UnreadableImage, UnsupportedImage, ImageTooLarge, NotARadiograph):
        raise
    except Exception as error:
        raise UnreadableImage(f"the DICOM pixels cannot be decoded: {error}") from error


def _check_dicom(header: "Dataset", limits: Limits) -> None:
    modality = said.text(header, "Modality")
    if modality not in PROJECTIONS:
        raise UnsupportedImage(
            f"the DICOM modality is {modality[:16]!r}; a projection radiograph is CR or DX"
        )
    if "PixelData" not in header:
        raise UnsupportedImage("the DICOM object has no pixel data; send the image object itself")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnsupportedImage(f"the DICOM object has {frames} frames; send a single film")
    photometric = said.text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedImage(
            f"the DICOM photometric interpretation is {photometric[:20]!r}; "
            "a radiograph is MONOCHROME1 or MONOCHROME2"
        )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise UnsupportedImage(
            f"the DICOM object has {header.SamplesPerPixel} samples per pixel; a radiograph has 1"
        )
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    check_size(columns, rows, limits)
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        check_codestream(header, rows, columns)
