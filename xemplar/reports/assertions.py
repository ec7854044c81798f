"""Reads what a report asserts, denies and leaves open: ConText's rules for chest radiographs.

A trigger such as "no" or "may represent" holds for the words after it, and "is not seen" for those
before it, up to the end of the sentence or a word such as "but" (Chapman et al., J Biomed Inform
2001; Harkema et al., 2009). "No change" and its like deny nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from xemplar.reports.vocabulary import word_set

State: TypeAlias = Literal["present", "absent", "uncertain", "past"]

_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?|[,:/()]")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=\s|[A-Z])|[\n;]")

_Phrases: TypeAlias = Mapping[str, Sequence[tuple[list[str], State | None]]]


def _phrases(of: Mapping[State | None, str]) -> _Phrases:
    """List phrases between bars by their first words, as their words and state, longest first."""
    by_first: dict[str, list[tuple[list[str], State | None]]] = {}
    for state, phrases in of.items():
        for phrase in map(str.split, phrases.split("|")):
            by_first.setdefault(phrase[0], []).append((phrase, state))
    for some in by_first.values():
        some.sort(key=lambda one: -len(one[0]))
    return by_first


BEFORE = _phrases(
    {
        None: "no change|no interval change|no significant change|no significant interval change|"
        "no other change|not changed|not significantly changed|without change|without interval "
        "change|no increase|no decrease|no interval increase|not only|no doubt|not certain|"
        "not clear|no improvement|not improved|no longer|not excluded|not entirely excluded|"
        "not ruled out|not completely excluded",
        "absent": "no|not|without|negative for|free of|clear of|absence of|absent|denies|denied|"
        "never|neither|nor|none|lack of|rather than|resolution of|no evidence of|resolved|"
        "cleared|instead of",
        "uncertain": "possible|possibly|probable|probably|may|might|could|suspicious for|suspected|"
        "suspicion of|suspicion for|question of|questionable|question|concern for|concerning for|"
        "cannot exclude|cannot rule out|can not exclude|cannot completely exclude|evaluate for|"
        "rule out|equivocal|perhaps|vague|unlikely to|difficult to exclude|versus|vs",
        "past": "history of|status post",
    }
)
"""Phrases that hold for the words after them; None denies nothing, whatever its words do alone."""

AFTER = _phrases(
    {
        "absent": "not seen|not identified|not present|not visualized|not visualised|not "
        "demonstrated|not evident|not detected|not appreciated|not found|no longer seen|no longer "
        "present|no longer identified|no longer visualized|no longer evident|no longer visible|"
        "has resolved|have resolved|has cleared|have cleared|is absent|are absent|ruled out|is "
        "unlikely|are unlikely|is excluded|resolved",
        "uncertain": "cannot be excluded|can not be excluded|is not excluded|are not excluded|not "
        "excluded|not entirely excluded|not completely excluded|cannot be ruled out|not ruled out|"
        "is possible|are possible|is questionable|is suspected|are suspected|is not certain",
    }
)
"""Phrases that hold for the words before them."""

_STOPS = word_set("but however although though except which aside apart otherwise yet")
_BEGINNINGS = word_set(
    "a an the there this these mild moderate severe small large stable unchanged increased "
    "persistent new heart lungs lung trachea bones both left right chronic"
)
"""Words that begin another statement after "and" or a comma."""

_LISTS = frozenset({"and", ",", "with"})


@dataclass(frozen=True)
class Word:
    """A word of a text and what the text says of it.

    Attributes:
        text: in lower case.
        start: position of its first character in the text.
        end: position behind its last character.
        sentence: number of its sentence.
        state: present, absent, uncertain or past.
    """

    text: str
    start: int
    end: int
    sentence: int
    state: State = "present"


def words(text: str) -> tuple[Word, ...]:
    """Read the words of a text in order, each with its state; punctuation is left out."""
    found: list[Word] = []
    for number, (start, sentence) in enumerate(_sentences(text)):
        read = [
            Word(match[0].lower(), start + match.start(), start + match.end(), number)
            for match in _WORD.finditer(sentence)
        ]
        found += (word for word in _judged(read) if word.text[0].isalnum())
    return tuple(found)


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield sentences with the position of their first character."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        yield start, text[start : end.start()]
        start = end.start()
    yield start, text[start:]


def _judged(sentence: Sequence[Word]) -> list[Word]:
    """Return a sentence's words with their states."""
    texts = [word.text for word in sentence]
    states: list[State] = ["present"] * len(sentence)
    skipped: set[int] = set()
    for place in range(len(sentence)):
        if (after := _phrase(texts, place, AFTER)) is not None:
            length, state = after
            for earlier in _back(texts, place):
                states[earlier] = state or states[earlier]
            skipped.update(range(place, place + length))
    for place in range(len(sentence)):
        before = None if place in skipped else _phrase(texts, place, BEFORE)
        if before is None:
            continue
        length, state = before
        skipped.update(range(place, place + length))
        if state is None:
            continue
        for later in _ahead(texts, place + length):
            # "no definite" stays a denial, and "possible" within one does not open it again
            if states[later] == "present" or (state == "absent" and states[later] != "uncertain"):
                states[later] = state
    return [
        word if state == word.state else replace(word, state=state)
        for word, state in zip(sentence, states, strict=True)
    ]


def _phrase(texts: Sequence[str], place: int, known: _Phrases) -> tuple[int, State | None] | None:
    """Return length and state of the longest phrase that begins at a place."""
    for phrase, state in known.get(texts[place], ()):
        if texts[place : place + len(phrase)] == phrase:
            return len(phrase), state
    return None


def _ahead(texts: Sequence[str], place: int) -> Iterator[int]:
    """Yield the places that a phrase before them holds for."""
    for later in range(place, len(texts)):
        text = texts[later]
        following = texts[later + 1] if later + 1 < len(texts) else ""
        if text in _STOPS or text == ":":
            return
        if text in _LISTS and later > place and following in _BEGINNINGS:
            return
        yield later


def _back(texts: Sequence[str], place: int) -> Iterator[int]:
    """Yield the places that a phrase after them holds for."""
    for earlier in range(place - 1, -1, -1):
        if texts[earlier] in _STOPS or texts[earlier] == ":":
            return
        yield earlier
