"""View positions of a radiograph, and their synonyms in headers and label files."""

import re
from functools import lru_cache

from xemplar.names import nearest

FRONTAL = frozenset({"PA", "AP", "FRONTAL"})

VIEWS = FRONTAL | {
    "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE", "AXIAL", "TANGENTIAL",
}  # fmt: skip
"""View positions of a case: defined terms of DICOM's ViewPosition (PS3.3 C.8.1.3), those that view
codes map to, and FRONTAL, CheXpert's term for PA or AP."""

VIEW_SYNONYMS = {
    "LLAT": "LL", "RLAT": "RL", "LATERO": "LATERAL", "LATEROMEDIAL": "LATERAL", "ML": "LATERAL",
    "LM": "LATERAL", "PROFIL": "LATERAL", "PROFILE": "LATERAL", "SEITLICH": "LATERAL",
    "TRANSTHORACIC": "LATERAL", "LAO": "OBLIQUE", "RAO": "OBLIQUE", "LPO": "OBLIQUE",
    "RPO": "OBLIQUE", "MLO": "OBLIQUE", "CC": "AXIAL", "POSTEROANTERIOR": "PA",
    "ANTEROPOSTERIOR": "AP",
}  # fmt: skip
"""Synonyms in headers and label files -> one of `VIEWS`."""

QUALIFIERS = frozenset([
    "BEDSIDE", "CHEST", "ERECT", "HORIZONTAL", "LEFT", "LYING", "MOBILE", "PAEDIATRIC", "PEDIATRIC",
    "PORTABLE", "PRONE", "RIGHT", "SITTING", "STANDING", "SUPINE", "THORAX", "UPRIGHT", "VIEW",
])  # fmt: skip
"""Words that may accompany a view without changing it, as in "AP (paediatric)"."""


_INITIALS = re.compile(r"\b([AP])\.\s?([AP])\b")
"""Initials, as in "p.a."."""

_DIRECTIONS = re.compile(r"\b(POSTERO|ANTERO)[\s-]+(ANTERIOR|POSTERIOR)\b")


def find_view(written: str) -> str | None:
    """Find the view that a text mentions, whatever else it contains; None if it mentions none.

    A view that is not frontal takes precedence: "PA OBLIQUE" is oblique.
    """
    words = [VIEW_SYNONYMS.get(word, word) for word in _words(written)]
    return min((word for word in words if word in VIEWS), key=FRONTAL.__contains__, default=None)


@lru_cache(1024)
def parse_view(written: str) -> str | None:
    """Parse a text that consists of a view only; None if it contains any unknown word."""
    understood = {*VIEWS, *VIEW_SYNONYMS, *QUALIFIERS}.issuperset(_words(written))
    return find_view(written) if understood else None


def unknown_view_message(written: str) -> str:
    """Word the message for an unknown view, with the most similar known one."""
    near = nearest(written, [*VIEWS, *VIEW_SYNONYMS], 1)
    meant = f", perhaps {VIEW_SYNONYMS.get(near[0], near[0])}" if near else ""
    return f"unknown view {written[:60]!r}{meant}; known here: {', '.join(sorted(VIEWS))}"


def _words(written: str) -> list[str]:
    joined = _INITIALS.sub(r"\1\2", _DIRECTIONS.sub(r"\1\2", written.upper()))
    return re.findall(r"[^\W\d_]+", joined)
