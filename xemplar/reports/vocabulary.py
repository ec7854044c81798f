"""The closed vocabulary of chest reports: the only words that a stored report may hold."""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from string import ascii_lowercase

FILE = Path(__file__).parent / "vocabulary.txt"

NAMES = "also names"
"""Part of the file with words that are names of people or places as well."""

SHORTEST_INFLECTED = 4
"""Letters of the shortest word whose regular forms are made."""

SHORTEST_CORRECTED = 7
"""Letters of the shortest misspelling that is corrected; shorter ones are near too many words."""

_SIBILANT = ("s", "x", "z", "ch", "sh")


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text with spaces between them."""
    return frozenset(text.split())


@cache
def vocabulary() -> frozenset[str]:
    """Return all words with their regular forms, in lower case."""
    every = {word for words in _parts().values() for word in words}
    return frozenset(form for word in every for form in _forms(word))


@cache
def also_names() -> frozenset[str]:
    """Return the words that are names as well, with their regular forms."""
    return frozenset(form for word in _parts()[NAMES] for form in _forms(word))


def is_known(word: str) -> bool:
    """Tell if a word, in any case, is in the vocabulary."""
    return word.lower() in vocabulary()


@lru_cache(1 << 14)
def corrected(word: str, shortest: int = SHORTEST_CORRECTED) -> str | None:
    """Return the only word of the vocabulary that one typing error turned into this one.

    None if there are several or none, or if the word is too short.

    Args:
        word: in lower case.
        shortest: letters from which on a word is corrected.
    """
    if len(word) < shortest or not word.isascii():
        return None
    near = {one for one in _one_error_away(word) if one in vocabulary()}
    return near.pop() if len(near) == 1 else None


def _one_error_away(word: str) -> Iterator[str]:
    """Yield words that differ by a letter too many, too few or wrong, or by two swapped ones."""
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        if after:
            yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in ascii_lowercase:
            yield before + letter + after
            if after:
                yield before + letter + after[1:]


@cache
def _parts() -> dict[str, list[str]]:
    """Read the file: heading -> words."""
    parts: dict[str, list[str]] = {}
    words: list[str] = []
    for line in FILE.read_text(encoding="ascii").splitlines():
        if heading := re.fullmatch(r"\[(.+)\]", line):
            words = parts.setdefault(heading[1], [])
        elif not line.startswith("#"):
            words += line.split()
    return parts


def _forms(word: str) -> Iterator[str]:
    """Yield a word and its regular forms: plural, third person, past, participle, adverb."""
    yield word
    if len(word) < SHORTEST_INFLECTED:
        return
    if word.endswith("y"):
        yield from (word[:-1] + end for end in ("ies", "ied"))
        if not word.endswith("ly"):
            yield word[:-1] + "ily"
    yield word + ("es" if word.endswith(_SIBILANT) else "s")
    stem = word.removesuffix("e")
    yield from (stem + "ed", stem + "ing")
    if not word.endswith("y"):
        yield word + "ly"
