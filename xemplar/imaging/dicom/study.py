"""Reads UID and day of an image's study, which are kept only if asked for, sealed or shifted."""

import re
from datetime import UTC, date, datetime, timedelta

from xemplar.imaging.dicom.gdcm_isolation import import_pydicom
from xemplar.imaging.dicom.part10 import is_dicom, read_header
from xemplar.imaging.radiograph import Limits

DAY = re.compile(r"[0-9]{8}")
"""Form of a date (PS3.5 6.2, DA)."""

UID = re.compile(r"[0-9.]{1,64}")
"""Form of a UID (PS3.5 9.1); leading zeros are let through, as archives have them."""


FIRST_RADIOGRAPH = date(1895, 11, 8)
"""No study is older; some archives write 1 January 1800 for none."""


def study_day(data: bytes, limits: Limits | None = None) -> int | None:
    """Read StudyDate as a number of days; None if the file is no DICOM or has no possible one.

    Args:
        data: the complete file.
        limits: size limits; None for the defaults.

    Raises:
        UnreadableImage, ImageTooLarge: see `read_header`.
    """
    text = _text(data, "StudyDate", limits)
    if not text or not DAY.fullmatch(text):
        return None
    try:
        found = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    is_possible = FIRST_RADIOGRAPH <= found <= datetime.now(UTC).date() + timedelta(days=1)
    return found.toordinal() if is_possible else None


def study_uid(data: bytes, limits: Limits | None = None) -> str | None:
    """Read StudyInstanceUID; None if the file is no DICOM or has no valid one.

    Args:
        data: the complete file.
        limits: size limits; None for the defaults.

    Raises:
        UnreadableImage, ImageTooLarge: see `read_header`.
    """
    text = _text(data, "StudyInstanceUID", limits)
    return text if text and UID.fullmatch(text) else None


def _text(data: bytes, keyword: str, limits: Limits | None) -> str | None:
    if not is_dicom(data):
        return None
    import_pydicom()
    # Rows: every image has it, and a header without any element would be taken for a damaged one
    header = read_header(data, limits or Limits(), (keyword, "Rows"))
    raw = getattr(header.get_item(keyword), "value", None)
    # the raw bytes: pydicom would quote an invalid value in a warning
    text = raw.decode("ascii", errors="replace") if isinstance(raw, bytes) else str(raw or "")
    return text.strip("\0 ")
