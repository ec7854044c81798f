"""Health and readiness of the service."""

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """Health of the service."""

    status: Literal["ok"] = "ok"


class TaskState(BaseModel):
    """State of a background task of the service."""

    seconds_since_success: float = Field(
        description="Seconds since the last success, or since the start."
    )
    failing: str | None = Field(description="Reason why the last run failed; null if it succeeded.")


class Readiness(Health):
    """Readiness: the artefacts in use, and problems."""

    checkpoint: str
    generation: str
    cases: int
    writes_refused: str | None = Field(
        default=None, description="Reason why changes are refused now; null if they are accepted."
    )
    keys_lost: str | None = Field(
        default=None,
        description="Reason why every request is answered 401: there were API keys, and now there "
        "are none. Null otherwise.",
    )
    tasks: dict[str, TaskState] = Field(default_factory=dict)
