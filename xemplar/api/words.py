"""Reports of cases, and the part of words in a search."""

from typing import Literal

from pydantic import BaseModel, Field


class MarkOut(BaseModel):
    """Characters of a report that the search's text named."""

    section: Literal["findings", "impression"]
    start: int = Field(ge=0, description="Position of the first character in the section.")
    end: int = Field(ge=1, description="Position behind the last one.")


class ReportOut(BaseModel):
    """Report of a case, scrubbed: `___` stands for what was removed."""

    findings: str = Field(description="Empty if the report has no such section.")
    impression: str = Field(description="Empty if the report has no such section.")
    labels_mined: bool = Field(
        description="True if the case's labels were read from the report by rules."
    )
    marks: list[MarkOut] = Field(
        [], description="Words that the search's `text` named, in order; empty without it."
    )


class RanksOut(BaseModel):
    """Contributions of image and words to a case's place in a search with `text`."""

    score: float = Field(
        gt=0,
        description="1 / (60 + by_image) + 1 / (10 + by_words), where there is the rank; cases are "
        "ranked by it.",
    )
    by_image: int | None = Field(
        ge=1, description="Rank by similarity; null beyond the most similar 200 cases or more."
    )
    by_words: int | None = Field(
        ge=1,
        description="Rank by the words of the report, equal for reports with the same ones; null "
        "if the report has none of them, or there is no report.",
    )


class AskedWordsOut(BaseModel):
    """Findings of a search's `text` in the reports."""

    cases: int = Field(
        ge=0, description="Number of cases that meet the filters and have one of its words."
    )
    unknown: list[str] = Field(
        description="Words that no report holds, because they are no words of English chest "
        "reports; the search leaves them out."
    )
