"""Jobs: how one is started, and how far it is."""

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
    """What to build."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="sha256 of a checkpoint that the store keeps; null for the one that answers. "
        "`xemplar reindex --background --checkpoint FILE` puts one there.",
    )
    factory: str = Field(
        "",
        max_length=100,
        pattern="^[A-Za-z0-9,()_:.=-]*$",
        description="FAISS factory string; empty for the live index's.",
    )


class JobOut(BaseModel):
    """A long piece of work."""

    id: str
    kind: str = Field(examples=["reindex"])
    state: JobState
    parameters: dict[str, Any]
    done: int = Field(description="Images embedded, or cases indexed.")
    total: int | None = Field(description="Of how many; null until it is known.")
    expected_end: datetime | None = Field(description="If it goes on as fast as it went so far.")
    attempts: int = Field(description="Workers that have begun it.")
    cancel: bool = Field(description="Whether it was asked to stop.")
    created_at: datetime
    started_at: datetime | None = Field(description="When the latest attempt began.")
    finished_at: datetime | None
    log: list[str] = Field(description="The newest lines, the oldest of them first.")
    result: dict[str, Any] | None = Field(description="Of a job that is done.")
    error: str | None = Field(description="Why it failed.")


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobOut]
