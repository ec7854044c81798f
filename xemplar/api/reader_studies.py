"""Reader studies: what a reader reads next, and the answer."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from xemplar.api.examples import STUDY_ID
from xemplar.api.search import Counted

MOST_SECONDS = 24 * 3600.0
"""Longest time of one reading: more is a page that was left open."""

READING_COLUMNS = (
    "study",
    "reader",
    "number",
    "session",
    "arm",
    "case_id",
    "present",
    "confidence",
    "trust",
    "seconds",
    "read_at",
)
"""Columns of the file of a study's readings."""

Points = Annotated[int, Field(ge=0, le=100)]


class ReaderStudyOut(BaseModel):
    """Reader study that is open."""

    study_id: str = Field(examples=[STUDY_ID], description="First digits of the plan's sha256.")
    title: str
    question: str
    films: int = Field(ge=1)
    sessions: int = Field(ge=1, description="Sessions of each reader, with a washout between them.")
    washout_days: float = Field(ge=0)


class ReaderStudyList(BaseModel):
    """All open studies, the latest first."""

    studies: list[ReaderStudyOut]


class ShownCase(BaseModel):
    """Case beside a film. Its id is not told, as whoever reads blind must not look it up."""

    image_url: str
    findings: list[str] = Field(description="Findings present by the label file.")


class NextReadingOut(BaseModel):
    """Film that a reader reads next. Tells neither its case, nor the arm, nor what is true."""

    question: str
    total: int = Field(ge=1, description="Readings of this reader in all sessions.")
    number: int | None = Field(
        ge=0, description="Number of the reading, from 0; null when all are given."
    )
    session: int = Field(ge=0, description="Number of the session, from 0.")
    opens_at: datetime | None = Field(
        description="End of the washout; null if the film may be read now."
    )
    image_url: str | None = Field(description="The film; null during a washout and at the end.")
    cases: list[ShownCase] = Field(description="Cases beside the film; there may be none.")
    ask_trust: bool = Field(description="Whether to ask how far the reader relied on the cases.")


class ReadingIn(BaseModel):
    """Answer about one film."""

    model_config = ConfigDict(extra="forbid")

    confidence: Annotated[Points, Counted] = Field(
        description="0: the finding is surely absent; 100: surely present.", examples=[80]
    )
    trust: Annotated[Points, Counted] | None = Field(
        None,
        description="How far the reader relied on the cases, 0 to 100; only where it is asked.",
        examples=[50],
    )
    seconds: Annotated[float, Counted] = Field(
        ge=0, le=MOST_SECONDS, description="Time that the film was on the screen.", examples=[21.5]
    )
