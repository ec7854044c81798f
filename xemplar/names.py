"""Names from users and tables: rejects control characters, compares spellings, escapes output.

Control characters move a terminal's cursor, bidirectional marks reorder text, and line separators
forge log lines; no name needs them. Spellings are compared without case, and without the spaces,
underscores and hyphens between words. Nothing else is ignored: "Effusion?" and "-Effusion" may mean
that there is none.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from xemplar.errors import InvalidArgument

CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
"""Rejected characters, as a character class for regular expressions in Python, Rust and JavaScript:
Unicode's categories Cc, Zl and Zp, bidirectional marks and overrides, and zero-width characters of
Cf, except the joiners that some scripts need."""

_REFUSED = re.compile(f"[{CONTROLS}\ud800-\udfff]")  # and surrogates, as in undecodable file names


_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")


def name_problem(text: str) -> str | None:
    """Describe the first rejected character of a name; None if there is none."""
    found = _REFUSED.search(text)
    if found is None:
        return None
    return (
        f"it holds the control character U+{ord(found[0]):04X} at position {found.start() + 1}; "
        "write it without that"
    )


def check_name(text: str, what: str) -> str:
    """Reject a name with control characters.

    Args:
        text: the name.
        what: description for the message, such as "the name of a key".

    Returns:
        The name, unchanged.

    Raises:
        InvalidArgument: it contains one; the message states the character and its position.
    """
    if fault := name_problem(text):
        raise InvalidArgument(f"{what} is {text[:60]!r}: {fault}")
    return text


def escape_unprintable(text: str) -> str:
    r"""Escape unprintable characters, as in ``\x1b``, for a terminal; line feeds stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text
    )


def spelling_key(name: str) -> str:
    """Reduce a name to the form that all its spellings share, such as "pleuralthickening"."""
    return _BETWEEN_WORDS.sub("", name.strip().casefold())


def nearest(name: str, known: Iterable[str], count: int = 2) -> tuple[str, ...]:
    """Find the known names most similar to a name (Ratcliff/Obershelp), best first.

    Args:
        name: as typed; only its first 100 characters are compared.
        known: candidates.
        count: maximum number of results.
    """
    by_key = {spelling_key(one): one for one in known}
    return tuple(by_key[key] for key in get_close_matches(spelling_key(name[:100]), by_key, count))
