"""Findings that a text mentions, by the words that stand for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xemplar.data.findings import Labels
from xemplar.reports.assertions import State, Word, words
from xemplar.reports.vocabulary import word_set

NEAR = 5
"""Words between the two parts of a phrase, at most."""

_WORDS: dict[str, str] = {
    "Atelectasis": "atelectasis atelectases atelectatic collapse collapsed",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation consolidations consolidative",
    "Edema": "edema oedema",
    "Effusion": "effusion effusions hydrothorax hydropneumothorax",
    "Emphysema": "emphysema emphysematous",
    "Fibrosis": "fibrosis fibrotic",
    "Fracture": "fracture fractures fractured",
    "Hernia": "hernia hernias",
    "Infiltration": "infiltrate infiltrates infiltration infiltrations",
    "Lung Opacity": "opacity opacities opacification",
    "Mass": "mass masses",
    "Nodule": "nodule nodules",
    "Pneumonia": "pneumonia pneumonias bronchopneumonia",
    "Pneumothorax": "pneumothorax pneumothoraces hydropneumothorax",
}

_BY_WORD: dict[str, list[str]] = {}
for _finding, _names in _WORDS.items():
    for _name in _names.split():
        _BY_WORD.setdefault(_name, []).append(_finding)

_HEART = word_set("heart cardiac cardiomediastinal")
_ENLARGED = word_set("enlarged enlargement")
_PAIRS: Sequence[tuple[str, frozenset[str], frozenset[str]]] = (
    ("Cardiomegaly", _HEART, _ENLARGED | {"increased", "large"}),
    ("Cardiomegaly", _ENLARGED, _HEART),
    ("Pleural_Thickening", frozenset({"pleural"}), frozenset({"thickening", "thickened"})),
    ("Effusion", frozenset({"pleural"}), frozenset({"fluid"})),
)
"""Finding, and words of which one from the second set stands near behind one from the first."""

_NOT_AFTER = {
    "effusion": {"pericardial", "joint"},
    "effusions": {"pericardial", "joint"},
    "opacity": {"calcific"},
    "edema": {"subcutaneous", "tissue"},
    "emphysema": {"subcutaneous", "mediastinal", "tissue"},
    "fractured": {"wire", "wires"},
    "mass": {"bone", "muscle", "body"},
}
"""Words that mean something else after some others."""


@dataclass(frozen=True)
class Mention:
    """A finding that a text mentions.

    Attributes:
        finding: its name.
        state: what the text says of it.
        words: the words that stand for it.
    """

    finding: str
    state: State
    words: tuple[Word, ...]


def mentions(read: Sequence[Word]) -> Iterator[Mention]:
    """Yield the findings that words mention, in their order."""
    for place, word in enumerate(read):
        if word.text in _BY_WORD and not _means_something_else(read, place):
            for finding in _BY_WORD[word.text]:
                yield Mention(finding, word.state, (word,))
        for finding, first, second in _PAIRS:
            if word.text in first:
                near = read[place + 1 : place + 1 + NEAR]
                other = next((o for o in near if o.text in second and _together(o, word)), None)
                if other is not None:
                    yield Mention(finding, _joint_state(word, other), (word, other))


def _means_something_else(read: Sequence[Word], place: int) -> bool:
    """Tell if one of the two words before a word changes its meaning."""
    word = read[place]
    before = (one.text for one in read[max(0, place - 2) : place] if _together(one, word))
    return not _NOT_AFTER.get(word.text, set()).isdisjoint(before)


def _joint_state(one: Word, other: Word) -> State:
    """Return what is said of two words together: a denial of either denies both."""
    states = {one.state, other.state}
    return next(s for s in ("absent", "uncertain", "past", "present") if s in states)


def mined_labels(*texts: str) -> Labels:
    """Read labels from a report's texts: finding -> 1 present, 0 absent, -1 uncertain.

    One mention as present outweighs uncertain ones, and these outweigh denials. What is mentioned
    as past, or not at all, is unknown.
    """
    value = {"absent": 0, "uncertain": -1, "present": 1}
    rank = ("absent", "uncertain", "present")
    found: dict[str, State] = {}
    for text in texts:
        for mention in mentions(words(text)):
            known = found.get(mention.finding)
            if mention.state in rank and (
                known is None or rank.index(mention.state) > rank.index(known)
            ):
                found[mention.finding] = mention.state
    return {finding: value[state] for finding, state in sorted(found.items())}


def _together(one: Word, other: Word) -> bool:
    return one.sentence == other.sentence
