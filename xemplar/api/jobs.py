"""Jobs: requests and progress."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class JobState(StrEnum):
    """State of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reindex(BaseModel):
    """Request for a new index."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="sha256 of a checkpoint in the store; null for the current one. "
        "`xemplar reindex --background --checkpoint FILE` adds one.",
    )
    factory: str = Field(
        "",
        max_length=100,
        pattern="^(|auto|Flat|(PCA[1-9][0-9]{0,3},)?IVF[1-9][0-9]{0,6},(SQ8|Flat))$",
        description="FAISS factory string: auto (by the number of cases), Flat (exact), or "
        "inverted lists; empty: as the live index was made.",
        examples=["auto", "PCA128,IVF2048,SQ8"],
    )


class JobOut(BaseModel):
    """Background job."""

    id: str
    kind: str = Field(examples=["reindex"])
    state: JobState
    parameters: dict[str, Any]
    done: int = Field(description="Images embedded, or cases indexed.")
    total: int | None = Field(
        description="Total number of images or cases; null until it is known."
    )
    expected_end: datetime | None = Field(description="Estimate from the average speed so far.")
    attempts: int = Field(description="Number of workers that have started it.")
    cancel: bool = Field(description="True if cancellation was requested.")
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the latest attempt.")
    finished_at: datetime | None
    log: list[str] = Field(description="Newest lines, in chronological order.")
    result: dict[str, Any] | None = Field(description="Result of a job that is done.")
    error: str | None = Field(description="Reason of a failure.")


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobOut]
