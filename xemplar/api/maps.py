"""Schemas of maps over images."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Cosine = Annotated[float, Field(ge=-1, le=1)]
Shares = list[list[Annotated[float, Field(ge=0)]]]


class ScalesOut(BaseModel):
    """Values that are shown in the brightest colour: fixed, whatever the image and its cases."""

    gradcam: float = Field(
        gt=0,
        description="Logits per location: a location with this much alone multiplies the odds of "
        "the finding by 1.5.",
    )
    similarity: float = Field(gt=0, description="Share of the similarity at one location.")
    match: float = Field(gt=0, description="Share of the similarity at one pair of locations.")


class MapsOut(BaseModel):
    """Grad-CAM of the explained finding: logits per location."""

    fit: Literal["stretch", "pad"] = Field(
        description="Fit of an image in the square that the map covers: stretched, or centred with "
        "its aspect ratio kept."
    )
    scales: ScalesOut
    query: Shares | None = Field(description="Rows from the top; null unless it is called.")
    cases: dict[str, Shares | None] = Field(description="Maps by case id, in the same form.")


class MatchesOut(BaseModel):
    """Contributions of pairs of spatial locations in two images to their similarity."""

    similarity: Cosine = Field(description="Sum of all shares.")
    grid: int = Field(ge=1, description="Locations per side; an image has grid x grid, row by row.")
    shares: list[list[float]] = Field(
        description="Contribution of each pair of locations to the similarity: one row per "
        "location of the query, one column per location of the case; negative values reduce it. "
        "Row sums are the evidence in the query, column sums the evidence in the case."
    )
