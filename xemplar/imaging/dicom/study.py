"""Reads the UID of an image's study, which only a reference to the archive needs."""

import re

from xemplar.imaging.dicom.gdcm_isolation import import_pydicom
from xemplar.imaging.dicom.part10 import is_dicom, read_header
from xemplar.imaging.radiograph import Limits

UID = re.compile(r"[0-9.]{1,64}")
"""Form of a UID (PS3.5 9.1); leading zeros are let through, as archives have them."""


def study_uid(data: bytes, limits: Limits | None = None) -> str | None:
    """Read StudyInstanceUID; None if the file is no DICOM or has no valid one.

    Args:
        data: the complete file.
        limits: size limits; None for the defaults.

    Raises:
        UnreadableImage, ImageTooLarge: see `read_header`.
    """
    if not is_dicom(data):
        return None
    import_pydicom()
    # Rows: every image has it, and a header without any element would be taken for a damaged one
    header = read_header(data, limits or Limits(), ("StudyInstanceUID", "Rows"))
    raw = getattr(header.get_item("StudyInstanceUID"), "value", None)
    # the raw bytes: pydicom would quote an invalid value in a warning
    text = raw.decode("ascii", errors="replace") if isinstance(raw, bytes) else str(raw or "")
    text = text.strip("\0 ")
    return text if UID.fullmatch(text) else None
