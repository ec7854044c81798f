"""Numbers that belong to chest reports; all others may be dates, ages, telephones or ids."""

import re
from collections.abc import Sequence

from xemplar.reports.vocabulary import word_set

LARGEST = {"c": 40.0, "m": 400.0}
"""Largest size in a chest, by the first letter of the unit: a person's height is larger."""

MOST_LISTED = 20
"""Largest number of a list."""

_SIZE = r"\d{1,3}(?:\.\d{1,2})?"
_SIZES = re.compile(rf"({_SIZE})(?:[x×-]({_SIZE}))?(?:[x×]({_SIZE}))?-?(cm|mm)?")
_LEVEL = re.compile(r"(?i)([ctls])(\d{1,2})(?:[-/]([ctls])?(\d{1,2}))?")
_HIGHEST = {"c": 7, "t": 12, "l": 5, "s": 5}
_ORDINAL = re.compile(r"(1[0-2]|[1-9])(st|nd|rd|th)(-(1[0-2]|[1-9])(st|nd|rd|th))?")
_RIBS = re.compile(r"(1[0-2]|[1-9])([-/](1[0-2]|[1-9]))?")
_SHARE = re.compile(r"(100|\d{1,2})(-\d{1,2})?%")
_OF_RIBS = word_set("rib ribs intercostal costal vertebra vertebrae interspace interspaces")
_PLACES = word_set("room bed ward unit floor clinic bay suite building level box apartment")


def is_number_of_reports(
    text: str, before: Sequence[str], following: Sequence[str], *, listed: bool = False
) -> bool:
    """Tell if a number is a size, a vertebra, a rib, a percentage, views, or of a list.

    Args:
        text: characters between spaces, with a digit among them.
        before: the two words before it, in lower case.
        following: the five words after it, in lower case.
        listed: whether it begins a line or sentence, with a full stop or parenthesis after it.
    """
    text = text.lower()
    if _SHARE.fullmatch(text) or _is_size(text, following):
        return True
    if (level := _LEVEL.fullmatch(text)) and not _PLACES.intersection(before):
        first, number, second, other = level.groups()
        ends = [(first, number), (second or first, other or number)]
        return all(1 <= int(place) <= _HIGHEST[part] for part, place in ends)
    if _ORDINAL.fullmatch(text):
        return bool(_OF_RIBS.intersection(following[:4]))
    if _RIBS.fullmatch(text) and before and before[-1] in _OF_RIBS:
        return True
    if not text.isdigit():
        return False
    if following and following[0] in {"view", "views", "image", "images"}:
        return int(text) < 10
    return listed and 1 <= int(text) <= MOST_LISTED


def _is_size(text: str, following: Sequence[str]) -> bool:
    """Tell if a number is a size, whose unit it ends with or which soon follows."""
    sizes = _SIZES.fullmatch(text)
    if sizes is None:
        return False
    unit = sizes[4]
    for word in following if unit is None else ():
        if word.rstrip("s") in {"cm", "mm", "centimeter", "centimetre", "millimeter", "millimetre"}:
            unit = word
            break
        if word not in {"x", "×", "by", "to", "and", "-"} and not re.fullmatch(_SIZE, word):
            return False
    return unit is not None and all(
        float(size) <= LARGEST[unit[0]] for size in sizes.groups()[:3] if size
    )
