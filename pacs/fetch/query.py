"""Choice of the images that are fetched."""

import re
from dataclasses import dataclass
from datetime import date, datetime

from xemplar.errors import InvalidArgument

CODE = re.compile(r"[A-Z0-9][A-Z0-9 _]{0,15}")
"""Coded string, VR CS (PS3.5 6.2)."""


@dataclass(frozen=True)
class FetchQuery:
    """Images of an archive.

    Attributes:
        modalities: of their series, as CR and DX.
        body_part: BodyPartExamined of their series; empty for any.
        dates: StudyDate, a range of DICOM as 20200101-20201231; empty for any.
    """

    modalities: tuple[str, ...]
    body_part: str = ""
    dates: str = ""


def fetch_query(modalities: list[str], body_part: str = "", dates: str = "") -> FetchQuery:
    """Check and normalise a choice of images.

    Args:
        modalities: at least one.
        body_part: empty for any.
        dates: YYYYMMDD-YYYYMMDD, open at one end if wanted, or one day; hyphens within a date as in
            2020-01-31 are no range. Empty for any.

    Raises:
        InvalidArgument: names the value.
    """
    codes = [code.strip().upper() for code in modalities]
    for code in [*codes, *([body_part.upper()] if body_part else [])]:
        if not CODE.fullmatch(code):
            raise InvalidArgument(
                f"{code[:40]!r} is no coded value of DICOM; write it as DX or CHEST, in at most 16 "
                "letters, digits and underscores"
            )
    return FetchQuery(tuple(dict.fromkeys(codes)), body_part.upper(), _range(dates))


def _range(dates: str) -> str:
    if not dates:
        return ""
    first, hyphen, last = dates.partition("-")
    begin, end = _day(first, dates), _day(last, dates)
    if (not hyphen and begin is None) or (begin is None and end is None):
        raise _malformed(dates)
    if begin is not None and end is not None and begin > end:
        raise InvalidArgument(f"--dates {dates} ends before it begins; exchange its two days")
    return dates


def _day(text: str, dates: str) -> date | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{8}", text):
        raise _malformed(dates)
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 -- a day has no zone
    except ValueError as error:
        raise _malformed(dates) from error


def _malformed(dates: str) -> InvalidArgument:
    return InvalidArgument(
        f"--dates {dates[:40]!r} is no range of days; write it as 20200101-20201231, 20200101- or "
        "20200101"
    )
