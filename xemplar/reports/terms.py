"""Terms that reports are indexed and searched by: words and findings, with their denials.

A term is a word's stem, or `FINDING` and a finding's name; `DENIED` before it says that the report
denies it. So "effusion" never finds "no effusion", and "enlarged heart" finds "cardiomegaly".
Terms are of letters and digits alone, which both databases index as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xemplar.errors import InvalidArgument
from xemplar.names import nearest
from xemplar.reports.assertions import Word, words
from xemplar.reports.mentions import mentions
from xemplar.reports.report import StoredReport
from xemplar.reports.vocabulary import corrected, is_known, vocabulary, word_set

DENIED = "n0"
FINDING = "f0"

MOST_CHARACTERS = 500
"""Longest text to search for."""

SHORTEST_CORRECTED = 5
"""Letters from which on a misspelt word of a search is corrected; no name depends on it."""

MOST_TERMS = 30
"""Terms of a search, at most."""

_PASSED_OVER = word_set(
    "a an the and or nor of to in on at by for from with without within no not is are was "
    "were be been being has have had do does there this that these those it its as which who "
    "than then also again seen see show shows shown showing demonstrate demonstrates "
    "evidence definite identified noted present finding findings view views image images "
    "chest radiograph film patient study exam examination may might could possible possibly "
    "probable probably cannot never neither none but however negative free absence absent "
    "denies"
)
"""Words that are in too many reports to find any."""

_SPELLINGS = (("oedema", "edema"), ("haem", "hem"), ("oeso", "eso"), ("aemia", "emia"))


@dataclass(frozen=True)
class Wanted:
    """Terms that a search's text asks for.

    Attributes:
        terms: distinct, in the order of the text.
        unknown: words that no report can hold.
    """

    terms: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Characters of a section of a report.

    Attributes:
        section: "findings" or "impression".
        start: position of the first one.
        end: position behind the last one.
    """

    section: str
    start: int
    end: int


def terms_of(report: StoredReport) -> str:
    """Return the distinct terms of a report, sorted, with spaces between."""
    found: set[str] = set()
    for text in (report.findings, report.impression):
        found.update(term for term, _ in _terms(words(text)))
    return " ".join(sorted(found))


def wanted(text: str) -> Wanted:
    """Read the terms that a search asks for; misspelt words are corrected as in reports.

    Words that stand for a finding ask for the finding, however a report calls it.

    Raises:
        InvalidArgument: the text is empty or too long, or none of its words can be searched for.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidArgument(
            f"text has {len(text):,} characters; the limit is {MOST_CHARACTERS}; name the findings "
            "in a few words"
        )
    read = words(text)
    unknown = [word.text for word in read if word.text.isalpha() and not _spelt(word.text)]
    read = tuple(replace(word, text=spelt) for word in read if (spelt := _spelt(word.text)))
    found = list(dict.fromkeys(_terms(read, whole=False)))
    names = dict.fromkeys(term for term, _ in found)
    if not names:
        raise InvalidArgument(_nothing_to_find(unknown))
    return Wanted(tuple(names)[:MOST_TERMS], tuple(dict.fromkeys(unknown)))


def places(report: StoredReport, terms: Sequence[str]) -> tuple[Place, ...]:
    """Find the words of a report that terms name, in order."""
    asked, found = set(terms), set[tuple[str, int, int]]()
    for section in ("findings", "impression"):
        for term, word in _terms(words(getattr(report, section))):
            if term in asked:
                found.add((section, word.start, word.end))
    return tuple(Place(*place) for place in sorted(found))


def _terms(read: Sequence[Word], *, whole: bool = True) -> list[tuple[str, Word]]:
    """List terms and the words that give them.

    Args:
        read: words of a text.
        whole: list the words of findings as well as the findings.
    """
    found: list[tuple[str, Word]] = []
    used: set[Word] = set()
    for mention in mentions(read):
        name = "".join(filter(str.isalnum, mention.finding)).lower()
        denied = DENIED if mention.state == "absent" else ""
        found += ((f"{denied}{FINDING}{name}", word) for word in mention.words)
        used.update(mention.words)
    for word in read:
        if word.text in _PASSED_OVER or (word in used and not whole) or not word.text.isalpha():
            continue
        denied = DENIED if word.state == "absent" else ""
        found.append((denied + _stem(word.text), word))
    return sorted(found, key=lambda one: one[1].start)


def _stem(word: str) -> str:
    """Return a word without its plural, in American spelling."""
    for british, american in _SPELLINGS:
        word = word.replace(british, american)
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and word[-3:-2] in {"s", "x"}:
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "is", "us", "ax")) and len(word) > 3:
        return word[:-1]
    return word


def _spelt(word: str) -> str | None:
    return word if is_known(word) else corrected(word, SHORTEST_CORRECTED)


def _nothing_to_find(unknown: Sequence[str]) -> str:
    if not unknown:
        return "text names nothing to search for, such as 'left effusion'"
    near = [one for word in unknown[:3] for one in nearest(word, vocabulary(), 1)]
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return f"text has no word that reports hold{hint}; name findings, such as 'left effusion'"
