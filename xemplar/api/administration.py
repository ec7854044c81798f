"""For administrators: audit trail, latest errors, generations of the index, API keys."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from xemplar.api.cases import Word
from xemplar.api.examples import CASE_ID, GENERATION
from xemplar.api.search import Written

MAX_ENTRIES = 1000
"""Most audit entries on a page."""

MAX_SOURCES = 100
"""Most sources of one API key."""

Moment = Annotated[AwareDatetime, Written]


class Role(StrEnum):
    """Rights of an API key; each role includes those before it."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Returns True if this role includes the rights of ``needed``."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class AuditEntryOut(BaseModel):
    """One event of the audit trail, or several of one kind."""

    id: int
    at: datetime = Field(description="When it was answered, UTC; the first of several.")
    request_id: str = Field(description="As in X-Request-ID; empty: the command line.")
    key: str | None = Field(description="Id of the API key.")
    role: str | None = Field(description="Of the key.")
    action: str = Field(description="Operation id, or a command's name.", examples=["query"])
    status: int
    subject: str | None = Field(description="Id of the case, query, job or key.")
    image_sha256: str | None = Field(
        description="Digest of the image that was sent; null once it was a case and was removed."
    )
    generation: str | None
    results: list[str] = Field(
        description="Ids of the cases that were shown, in the order of the answer."
    )
    count: int = Field(description="Requests that it stands for.")
    details: dict[str, JsonValue] | None = Field(
        description="What a change changed: by field its old and new value, or that it changed.",
        examples=[{"view": {"old": "AP", "new": "PA"}, "patient": "changed"}],
    )


class AuditPage(BaseModel):
    """Entries, the newest first."""

    entries: list[AuditEntryOut]
    before: int | None = Field(description="Send it to read on; null: there are no more.")


class AuditParameters(BaseModel):
    """Which entries; the times need an offset, as 2026-03-01T00:00:00Z."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = Field(None, description="Not older than this.")
    until: Moment | None = Field(None, description="Older than this.")
    key: str | None = Field(None, max_length=16, description="Of this API key alone.")
    action: str | None = Field(None, max_length=64, description="Of this operation alone.")
    case: str | None = Field(
        None,
        pattern="^[0-9a-f]{16}$",
        description="About this case, or that showed it.",
        examples=[CASE_ID],
    )
    before: int | None = Field(None, ge=0, lt=2**63, description="`before` of the page before.")
    limit: int = Field(100, ge=1, le=MAX_ENTRIES)


class ErrorOut(BaseModel):
    """A request that failed, or an image that was refused."""

    at: datetime = Field(description="When it was answered, UTC.")
    request_id: str = Field(description="As in X-Request-ID and in the log, which tells more.")
    key: str | None = Field(description="Id of the API key.")
    method: str = Field(examples=["POST"])
    route: str = Field(
        description="The address without its values; 'none': it was refused before it was read.",
        examples=["/cases/{case_id}"],
    )
    status: int = Field(examples=[503])
    problem: str | None = Field(
        description="Last part of the problem's type; null: the answer was no problem.",
        examples=["Busy"],
    )
    ms: float = Field(description="Milliseconds until it was answered.")


class ErrorList(BaseModel):
    """Errors, the newest first."""

    errors: list[ErrorOut]


class GenerationOut(BaseModel):
    """An index generation: immutable, and kept until it is pruned."""

    name: str = Field(examples=[GENERATION])
    created_at: datetime
    published_at: datetime | None = Field(description="When it last began to answer; null: never.")
    cases: int
    checkpoint: str = Field(description="sha256 of the checkpoint that made it.")
    factory: str = Field(description="FAISS factory string.", examples=["IDMap2,Flat"])
    recall_at_10: float = Field(description="Share of the 10 nearest that a search finds.")
    calibrated: bool = Field(description="Whether it says what a similarity is worth.")
    live: bool = Field(description="Whether it is the published one.")
    answers: bool = Field(
        description="Whether this service answers with it. Another one than the live one does so "
        "for a moment after a change, or for good where the live one could not be used."
    )


class GenerationList(BaseModel):
    """Generations, the newest first."""

    generations: list[GenerationOut]
    damaged: list[str] = Field(
        description="Names of those whose manifest cannot be read; the log says why. They cannot "
        "be published; `xemplar generations prune` deletes old ones."
    )


class Caller(BaseModel):
    """Who asks."""

    key: str | None = Field(description="Id of the API key; null while the service has no keys.")
    role: Role = Field(description="What the caller may do.")
    sources: list[str] | None = Field(
        description="Sources whose cases exist for the caller; null: all."
    )
    expires_at: datetime | None = Field(description="When the key ends; null: never.")


class NewKey(BaseModel):
    """A key that is to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field(
        description="Whose or what it is; shown in lists, never secret.", examples=["ward-3"]
    )
    role: Role = Field(
        description="reader: queries, cases. writer: changes cases too. admin: everything."
    )
    sources: Annotated[list[Word], Field(min_length=1, max_length=MAX_SOURCES)] | None = Field(
        None,
        description="Sources (data sets, departments) whose cases exist for the key, and that its "
        "own cases are of; null: all. A key of role admin has all.",
        examples=[["ward-a", "ward-b"]],
    )
    expires_at: Moment | None = Field(
        None,
        description="When the key ends, with an offset, within a hundred years; null: never.",
        examples=["2100-01-01T00:00:00Z"],
    )


class KeyOut(BaseModel):
    """An API key, without its secret."""

    id: str
    name: str
    role: Role
    sources: list[str] | None = Field(description="Whose cases exist for it; null: all.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it ends or ended; null: never.")
    last_used_at: datetime | None = Field(description="To about a minute; null: never.")
    revoked_at: datetime | None = Field(description="Null while it is not revoked.")


class NewKeyOut(KeyOut):
    """A key that has just been made."""

    secret: str = Field(description="To send as `Authorization: Bearer SECRET`. Never told again.")


class KeyList(BaseModel):
    """All keys, revoked ones too, the oldest first."""

    keys: list[KeyOut]
