"""Kinds of doubts about an image, for which a reader is offered a remedy."""

from typing import Literal, TypeAlias

Doubt: TypeAlias = Literal[
    "turned_right",
    "upside_down",
    "turned_left",
    "inverted",
    "unlike",
    "not_frontal",
    "other_part",
    "text",
]
"""The input validator finds the first five: turned by a quarter clockwise or anticlockwise, or by a
half; bones dark; unlike everything indexed, as a child among adults, an animal or a photograph. A
DICOM header states the others: not frontal, not a chest, text burnt into the picture."""

TURNED: tuple[Doubt, ...] = ("turned_right", "upside_down", "turned_left")
"""By one, two and three quarter turns clockwise."""
