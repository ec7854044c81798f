"""The scrubber: of a report's text, only words of chest reports remain.

Names, dates, numbers, places and all else that may tell who a patient is are not searched for:
what is not on a list is replaced by `MARK`. On the list are the vocabulary (`vocabulary.txt`) and
the numbers of chest reports: sizes, vertebrae, ribs, percentages, views and the numbers of a list.
Words of the vocabulary that are names as well are replaced where the words around them say so.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from xemplar.reports.numbers import is_number_of_reports
from xemplar.reports.vocabulary import also_names, corrected, is_known, word_set

MARK = "___"
"""Stands for what was removed, however much it was."""

_LABELS = re.compile(
    r"(?i)^\W*(?:(?:patient|pt|first|last|middle|maiden|given|family|sur)?[ -]?names?"
    r"|patient(?: id)?|mrn|dob|ssn|age|sex|gender|address|street|phone|tel|telephone|fax|e-?mail"
    r"|mobile|pager|contact|insurance|policy|accession|visit|encounter|account"
    r"|(?:report|exam|study|order|case|record) (?:id|no|number|date)|date|time|id|physician"
    r"|doctor|radiologist|attending|resident|provider|referr\w+|requested|ordering|ordered|signed|dictated|transcribed|read|reported|verified"
    r"|approved|electronically|cc|copy|clinic|hospital|department|ward|room|bed|unit|next of kin"
    r"|guardian|employer|occupation|born|birth\w*)\b[^:#=.\n]{0,30}[:#=]"
)
"""Beginning of a line that says who somebody is; all of the line is removed."""

_TITLES = word_set(
    "dr drs doctor mr mrs ms miss mister master mx prof professor sir madam dame lady lord "
    "rev reverend father brother captain capt col lt sgt nurse rn md np pa-c physician "
    "radiologist technologist technician attending resident registrar consultant herr frau "
    "name names named nee née alias aka"
)
"""Words before a name."""

_PEOPLE = word_set("patient pt by with per from to for of and resident attending")
"""Words before which a capitalised word may be a name."""

_DEEDS = word_set(
    "signed dictated read reported reviewed interpreted discussed communicated verified "
    "approved transcribed notified informed called telephoned paged relayed conveyed faxed "
    "emailed referred requested ordered contacted agreed"
)
"""Verbs of what somebody did with a report; who follows `_LINKS`, up to the sentence's end."""

_LINKS = word_set("by with to from")

_KEPT = word_set("no not without nor never none absent negative")
"""Words that are never removed as part of a name: without them a sentence says the opposite."""

_ABBREVIATED = word_set("dr drs mr mrs ms prof st rev capt lt sgt no vs")
"""Words whose full stop ends no sentence."""

_RUN = re.compile(r"\S+|\n")
_EDGES = re.compile(r"^([^\w#@+%]*)(.*?)([^\w%]*)$", re.DOTALL)
_INNER = re.compile(r"[.,;:()\[\]/'’-]+")
_PUNCTUATION = re.compile(r"[.,;:!?()\[\]/'\"+<>=~*-]")


@dataclass(frozen=True)
class Scrubbed:
    """A text from which everything outside the lists was removed.

    Attributes:
        text: with `MARK` for what was removed.
        words: number of words that remain.
        removed: number of runs of characters that were replaced.
    """

    text: str
    words: int
    removed: int


@dataclass
class _Piece:
    """A run of characters between spaces.

    Attributes:
        before: punctuation that it begins with.
        core: what is between the punctuation.
        after: punctuation that it ends with.
        starts: whether it begins a sentence or line.
        kept: what remains of the core; None if it is removed.
    """

    before: str
    core: str
    after: str
    starts: bool
    kept: str | None = None

    @property
    def word(self) -> str:
        """The core in lower case."""
        return self.core.lower()

    @property
    def is_title_case(self) -> bool:
        return self.core[:1].isupper() and not (len(self.core) > 1 and self.core.isupper())

    @property
    def ends(self) -> bool:
        """True if a sentence ends with it."""
        initial = len(self.core) == 1 and self.core.isupper()
        return bool(re.search(r"[.!?]", self.after)) and not (initial or self.word in _ABBREVIATED)


def scrub(text: str) -> Scrubbed:
    """Replace everything in a text that is not on the lists.

    Args:
        text: of any content and length.
    """
    lines = [_scrub_line(line) for line in unicodedata.normalize("NFKC", text).splitlines()]
    pieces = [piece for line in lines for piece in line]
    return Scrubbed(
        "\n".join(filter(None, map(_joined, lines))),
        sum(piece.kept is not None and piece.kept != "" for piece in pieces),
        sum(piece.kept is None for piece in pieces),
    )


def _scrub_line(line: str) -> list[_Piece]:
    pieces = _pieces(line)
    if _LABELS.match(line):
        return pieces  # none is kept
    for place, piece in enumerate(pieces):
        piece.kept = _remaining(pieces, place)
    _remove_people(pieces)
    _remove_neighbours(pieces)
    return pieces


def _pieces(line: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    starts = True
    for run in line.split():
        edges = _EDGES.match(run)
        before, core, after = edges.groups() if edges else ("", run, "")
        piece = _Piece(before, core, after, starts)
        pieces.append(piece)
        # a list's number begins a sentence, and so does what follows a colon
        starts = piece.ends or ":" in after or (starts and not core.strip("0123456789"))
    return pieces


def _remaining(pieces: Sequence[_Piece], place: int) -> str | None:
    """Return what remains of a core by itself; None if nothing does."""
    piece = pieces[place]
    core = piece.core
    if not core:
        return ""
    around = [other.word for other in pieces[max(0, place - 2) : place]]
    following = [other.word for other in pieces[place + 1 : place + 6]]
    if any(letter.isdigit() for letter in core):
        listed = piece.starts and piece.after[:1] in {".", ")"}
        return core if is_number_of_reports(core, around, following, listed=listed) else None
    if is_known(core):
        return core
    parts = [part for part in _INNER.split(core) if part]
    if re.search(r"['’]s?$", core) and piece.is_title_case and parts[0].lower() in also_names():
        return None
    if parts and all(is_known(part) or part == "s" for part in parts):
        return core
    if core.isalpha() and (core.islower() or piece.starts):
        return corrected(piece.word)
    return None


def _remove_people(pieces: Sequence[_Piece]) -> None:
    """Remove names that their words could not tell: after titles, and after deeds."""
    place = 0
    while place < len(pieces):
        piece = pieces[place]
        if piece.word in _TITLES:
            place = _remove_name(pieces, place)
            continue
        if piece.word in _DEEDS and any(p.word in _LINKS for p in pieces[place + 1 : place + 4]):
            end = place
            while end < len(pieces) and not pieces[end].ends:
                end += 1
            for one in pieces[place + 1 : end + 1]:
                one.kept = None
            place = end
        elif piece.word in _PEOPLE and not piece.ends and place + 1 < len(pieces):
            following = pieces[place + 1]
            if following.is_title_case and following.word in also_names():
                following.kept = None
        place += 1


def _remove_name(pieces: Sequence[_Piece], place: int) -> int:
    """Remove what follows a title, while it may be of the name; return the place after it."""
    title = pieces[place]
    if title.kept is None or title.word not in {"attending", "resident", "md"}:
        title.kept = title.kept if is_known(title.core) else None
    certain = title.word in _ABBREVIATED or not is_known(title.core)
    first = True
    while not pieces[place].ends and place + 1 < len(pieces):
        following = pieces[place + 1]
        named = following.is_title_case or following.kept is None or following.core.isupper()
        if not (named or (first and certain)) or following.word in _KEPT:
            break
        following.kept = None
        first = False
        place += 1
    return place + 1


def _remove_neighbours(pieces: Sequence[_Piece]) -> None:
    """Remove capitalised words beside removed ones, as these may be parts of one name."""
    for step in (1, -1):
        order = list(pieces)[::step]
        for previous, piece in pairwise(order):
            first, second = (previous, piece)[::step]
            if previous.kept is not None or not piece.kept or first.ends or ":" in first.after:
                continue
            if piece.word in _KEPT or "\n" in second.before:
                continue
            name = piece.word in also_names() and piece.core[:1].isupper()
            if name or (piece.is_title_case and not piece.starts and piece.core.isalpha()):
                piece.kept = None


def _joined(pieces: Sequence[_Piece]) -> str:
    """Write the remaining words with their punctuation, and one `MARK` for each gap."""
    written: list[str] = []
    goes_on = False  # whether the last word written is a mark that also stands for the next word
    for piece in pieces:
        before, after = (
            "".join(_PUNCTUATION.findall(edge)) for edge in (piece.before, piece.after)
        )
        word = f"{before}{MARK if piece.kept is None else piece.kept}{after}"
        if goes_on and piece.kept is None and not before:
            written[-1] = MARK + after
        elif word:
            written.append(word)
        goes_on = piece.kept is None and not piece.ends and after in {"", "."}
    return " ".join(written)
