"""Names that people type: compared leniently where that is safe, and else answered by the nearest.

Capitals and small letters are the same, and so are spaces, underscores and hyphens between words.
Nothing else is: "Effusion?" and "-Effusion" may mean that there is none.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")


def spelling_key(name: str) -> str:
    """What all spellings of a name have in common, as "pleuralthickening"."""
    return _BETWEEN_WORDS.sub("", name.strip().casefold())


def nearest(name: str, known: Iterable[str], count: int = 2) -> tuple[str, ...]:
    """The known names most like a name (Ratcliff/Obershelp), the most similar first.

    Args:
        name: as it was typed; only its first 100 characters are compared.
        known: to choose from.
        count: at most so many.
    """
    by_key = {spelling_key(one): one for one in known}
    return tuple(by_key[key] for key in get_close_matches(spelling_key(name[:100]), by_key, count))
