"""Schemas about the pixels of a query image."""

from typing import Annotated

from pydantic import BaseModel, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Box = Annotated[list[Fraction], Field(min_length=4, max_length=4)]


class ValuesOut(BaseModel):
    """Own values of the query image, deeper than 8 bits: each is level * slope + intercept."""

    url: str = Field(description="Levels of all pixels, uint16, little endian, row by row.")
    height: int = Field(ge=1, le=1024, description="In pixels, as the display copy.")
    width: int = Field(ge=1, le=1024)
    slope: float = Field(gt=0, description="Own values for each level.")
    intercept: float = Field(description="Own value of level 0.")
    lowest: float = Field(description="Lowest own value in the image.")
    highest: float
    window_centre: float = Field(
        description="Centre of the window that the display copy was made with, in own values: the "
        "file's, or the linear window nearest to its lookup table."
    )
    window_width: float = Field(gt=0)
    inverted: bool = Field(description="True if high values are black (MONOCHROME1).")


class TextOut(BaseModel):
    """Places of a query image where text seems to be burnt in."""

    boxes: list[Box] = Field(
        description="Left, top, right and bottom, as fractions of width and height; empty if no "
        "text was found.",
        examples=[[[0.02, 0.01, 0.31, 0.04]]],
    )
