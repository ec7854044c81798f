"""Views of an image: a closed list, and other words for them in headers and label files."""

import re

from xemplar.data.spelling import nearest

FRONTAL = frozenset({"PA", "AP", "FRONTAL"})

VIEWS = FRONTAL | {
    "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "OBLIQUE", "AXIAL", "TANGENTIAL",
}  # fmt: skip
"""Views that a case may have: words of DICOM's ViewPosition (PS3.3 C.8.1.3), those that codes are
translated to, and what CheXpert says of an image that is PA or AP."""

OTHER_WORDS = {
    "LLAT": "LL", "RLAT": "RL", "LATERO": "LATERAL", "LATEROMEDIAL": "LATERAL", "ML": "LATERAL",
    "LM": "LATERAL", "PROFIL": "LATERAL", "PROFILE": "LATERAL", "SEITLICH": "LATERAL",
    "TRANSTHORACIC": "LATERAL", "LAO": "OBLIQUE", "RAO": "OBLIQUE", "LPO": "OBLIQUE",
    "RPO": "OBLIQUE", "MLO": "OBLIQUE", "CC": "AXIAL", "POSTEROANTERIOR": "PA",
    "ANTEROPOSTERIOR": "AP",
}  # fmt: skip
"""Words that devices and label files write as a view -> one of `VIEWS`."""

BESIDE = frozenset([
    "BEDSIDE", "CHEST", "ERECT", "HORIZONTAL", "LEFT", "LYING", "MOBILE", "PAEDIATRIC", "PEDIATRIC",
    "PORTABLE", "PRONE", "RIGHT", "SITTING", "STANDING", "SUPINE", "THORAX", "UPRIGHT", "VIEW",
])  # fmt: skip
"""Words that may stand beside a view and say nothing of it, as in "AP (paediatric)"."""


def view_in(written: str) -> str | None:
    """The view that a text names among whatever else it says; None where it names none.

    As "PA OBLIQUE" is oblique, what is not frontal counts.
    """
    words = [OTHER_WORDS.get(word, word) for word in _words(written)]
    return min((word for word in words if word in VIEWS), key=FRONTAL.__contains__, default=None)


def known_view(written: str) -> str | None:
    """The view that somebody means who names nothing else; None where any word is unknown."""
    understood = {*VIEWS, *OTHER_WORDS, *BESIDE}.issuperset(_words(written))
    return view_in(written) if understood else None


def unknown_view(written: str) -> str:
    """Say that a text is no view, and what was most likely meant."""
    near = nearest(written, [*VIEWS, *OTHER_WORDS], 1)
    meant = f", perhaps {OTHER_WORDS.get(near[0], near[0])}" if near else ""
    return f"unknown view {written[:60]!r}{meant}; known here: {', '.join(sorted(VIEWS))}"


def _words(written: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", written.upper())
