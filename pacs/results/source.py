"""Header of the queried image: what a result needs to be in the same study, and nothing else.

It names the patient, so it stays in memory: an object derived from it goes back to the archive
that the image came from, and neither catalog, log nor message receives any of it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xemplar.errors import UnreadableImage, UnsupportedImage
from xemplar.imaging import Limits
from xemplar.imaging.dicom.gdcm_isolation import import_pydicom
from xemplar.imaging.dicom.image_pixel import PROJECTIONS, SECONDARY
from xemplar.imaging.dicom.part10 import is_dicom, read_header

from .discretion import silenced

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

NAMED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
"""UIDs without which nothing can refer to the image."""

STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Elements that every object of a study has, empty if unknown (PS3.3 C.7.1.1 and C.7.2.1, type
2)."""

FURTHER = (
    "IssuerOfPatientID", "StudyDescription", "PatientIdentityRemoved", "DeidentificationMethod",
    "TimezoneOffsetFromUTC", "BurnedInAnnotation", "Rows", "Columns",
)  # fmt: skip
"""Elements that are copied, or tell about the pixels, where the image has them."""

UNREADABLE = (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Raised by pydicom for a value that does not fit its VR."""

UTF_8 = "ISO_IR 192"

VALID = {
    "PatientBirthDate": r"\d{8}",
    "StudyDate": r"\d{8}",
    "StudyTime": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "PatientSex": r"[FMO]",
    "TimezoneOffsetFromUTC": r"[+-](0\d|1[0-4])[0-5]\d",
    "PatientIdentityRemoved": r"YES|NO",
    "BurnedInAnnotation": r"YES|NO",
}
"""Forms of coded values (PS3.5 6.2); what has another form is left empty, or out."""


@dataclass(frozen=True, eq=False, repr=False)
class SourceImage:
    """The image that a result is about.

    Its representation shows nothing of the patient.

    Attributes:
        header: patient, study and references, decoded; elements of `STUDY` are present, if empty.
        character_set: SpecificCharacterSet that the image declares, in the form that pydicom
            takes; None for ASCII. UTF-8 if the image declares none and has other characters.
        rows: height of the image in pixels.
        columns: its width in pixels.
    """

    header: "Dataset"
    character_set: str | list[str] | None
    rows: int
    columns: int


def read_source(data: bytes, limits: Limits | None = None) -> SourceImage:
    """Read the header of a DICOM image that a result shall refer to.

    Args:
        data: the complete file.
        limits: size limits; None for the defaults.

    Raises:
        UnreadableImage: not DICOM, or damaged.
        UnsupportedImage: the header lacks a UID that a result must name, or its class is private.
        ImageTooLarge: a deflated data set that inflates beyond the limit.
    """
    if not is_dicom(data):
        raise UnreadableImage(
            "the image is no DICOM file, so it belongs to no study that a result could go into; "
            "send the DICOM object, or use `xemplar query` for pictures"
        )
    import_pydicom()
    with silenced():
        keywords = ("SpecificCharacterSet", *NAMED, *STUDY, *FURTHER)
        return _source(read_header(data, limits or Limits(), keywords))


def _source(read: "Dataset") -> SourceImage:
    from pydicom import Dataset

    declared = _declared(read)
    encodings = _encodings(read, declared)
    header = Dataset()
    for keyword in (*NAMED, *STUDY, *FURTHER):
        element = _element(read, keyword, encodings)
        form = VALID.get(keyword, "")
        if element is not None and (not form or re.fullmatch(form, str(element.value).strip())):
            header.add(element)
        elif keyword in STUDY:
            setattr(header, keyword, None)
    if header.get("PatientIdentityRemoved") != "YES":
        header.pop("DeidentificationMethod", None)
    for keyword in NAMED:
        _check_uid(keyword, str(header.get(keyword) or ""))
    if header.SOPClassUID not in PROJECTIONS and not header.SOPClassUID.startswith(SECONDARY):
        raise UnsupportedImage(
            "SOPClassUID in the DICOM header is no class of projection radiographs, so no result "
            "can refer to the image; send it as Computed Radiography or Digital X-Ray"
        )
    character_set = UTF_8 if encodings == ["utf8"] else declared
    return SourceImage(header, character_set, _side(header, "Rows"), _side(header, "Columns"))


def _side(header: "Dataset", keyword: str) -> int:
    """Take a size in pixels out of the header, which is of the patient and the study alone."""
    side = header.pop(keyword).value if keyword in header else None
    if not isinstance(side, int) or side <= 0:
        raise UnreadableImage(
            f"{keyword} in the DICOM header is no size of an image; export the image again"
        )
    return side


def _check_uid(keyword: str, value: str) -> None:
    """Reject a UID that is missing or cannot be one (PS3.5 9.1); leading zeros are let through."""
    if not re.fullmatch(r"[0-9.]{1,64}", value):
        state = "is not a UID of digits and dots" if value else "is missing"
        raise UnsupportedImage(
            f"{keyword} in the DICOM header {state}, so no result can be put into the image's "
            "study; send the object as the archive has it"
        )


def _element(read: "Dataset", keyword: str, encodings: list[str]) -> "DataElement | None":
    """Decode an element; None if it is absent, empty or does not fit its VR."""
    from pydicom.dataelem import RawDataElement, convert_raw_data_element

    raw = read.get_item(keyword)
    try:
        element = (
            convert_raw_data_element(raw, encoding=encodings, ds=read)
            if isinstance(raw, RawDataElement)
            else raw
        )
        return element if element is not None and str(element.value or "").strip() else None
    except UNREADABLE:
        return None


def _declared(read: "Dataset") -> str | list[str] | None:
    """Read SpecificCharacterSet; None if it is absent, empty or not one of PS3.3 C.12.1.1.2."""
    from pydicom.charset import python_encoding

    value = read.get("SpecificCharacterSet")
    names = [value] if isinstance(value, str) else list(value or ())
    if not any(names) or not all(name in python_encoding for name in names):
        return None
    return str(names[0]) if len(names) == 1 else [str(name) for name in names]


def _encodings(read: "Dataset", declared: str | list[str] | None) -> list[str]:
    """Return Python's names of the encodings: those declared, else what the bytes can be."""
    from pydicom.charset import convert_encodings

    if declared is not None:
        encodings = convert_encodings(declared)
        return ["utf8"] if encodings[0] in ("utf8", "UTF8", "utf_8") else encodings
    texts = b"".join(_raw_values(read))
    if texts.isascii():
        return ["ascii"]
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        return ["latin_1"]
    return ["utf8"]


def _raw_values(read: "Dataset") -> Iterator[bytes]:
    for keyword in (*STUDY, *FURTHER):
        raw = read.get_item(keyword)
        if raw is not None and isinstance(raw.value, bytes):
            yield raw.value
