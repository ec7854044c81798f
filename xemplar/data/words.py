r"""Words that people type or tables hold: what none may contain, and how any is shown.

Control characters move a terminal's cursor, marks of direction turn the letters of a line around,
and separators of lines forge lines of a log. No name needs one.
"""

import re

from xemplar.errors import InvalidArgument

CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
"""Refused characters, as they stand in a class of a regular expression of Python, Rust and
JavaScript: Unicode's category Cc, separators of lines and paragraphs (Zl, Zp), marks and overrides
of direction, and what has no width (of Cf); not the joiners that some scripts spell with."""

_REFUSED = re.compile(f"[{CONTROLS}\ud800-\udfff]")  # and halves of characters, as in file names


def fault_of(text: str) -> str | None:
    """Say what a word holds that none may; None where it holds nothing of the kind."""
    found = _REFUSED.search(text)
    if found is None:
        return None
    return (
        f"it holds the control character U+{ord(found[0]):04X} at place {found.start() + 1}; write "
        "it anew without that"
    )


def check_word(text: str, what: str) -> str:
    """Refuse a word with control characters.

    Args:
        text: the word.
        what: it is, for the message, as "the name of a key".

    Returns:
        The word.

    Raises:
        InvalidArgument: it holds one; naming it and its place.
    """
    if fault := fault_of(text):
        raise InvalidArgument(f"{what} is {text[:60]!r}: {fault}")
    return text


def visible(text: str) -> str:
    r"""Write out what does nothing but harm on a terminal, as ``\x1b``; line feeds stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text
    )
