"""Administration: audit trail, recent errors, index generations, API keys."""

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

    PARTICIPANT = "participant"
    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Returns True if this role includes the rights of ``needed``."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class AuditEntryOut(BaseModel):
    """Entry of the audit trail: one event, or several of one kind."""

    id: int
    at: datetime = Field(
        description="Time of the response, UTC; of the first, where there are several."
    )
    request_id: str = Field(description="X-Request-ID of the request; empty for the command line.")
    key: str | None = Field(description="Id of the API key.")
    role: str | None = Field(description="Role of the key.")
    action: str = Field(description="Operation id, or name of a command.", examples=["query"])
    status: int
    subject: str | None = Field(description="Id of the case, query, job or key.")
    image_sha256: str | None = Field(
        description="Digest of the uploaded image; null once the image was a case and was removed."
    )
    generation: str | None
    results: list[str] = Field(description="Ids of the cases in the response, in its order.")
    count: int = Field(description="Number of requests that the entry summarises.")
    details: dict[str, JsonValue] | None = Field(
        description="Changed fields with their old and new values, or the word changed.",
        examples=[{"view": {"old": "AP", "new": "PA"}, "patient": "changed"}],
    )


class AuditPage(BaseModel):
    """Page of entries, newest first."""

    entries: list[AuditEntryOut]
    before: int | None = Field(description="Cursor of the next page; null on the last one.")


class AuditParameters(BaseModel):
    """Parameters of ``GET /audit``. Times need an offset, such as 2026-03-01T00:00:00Z."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = Field(None, description="Earliest time, inclusive.")
    until: Moment | None = Field(None, description="Latest time, exclusive.")
    key: str | None = Field(None, max_length=16, description="Only entries of this API key.")
    action: str | None = Field(None, max_length=64, description="Only entries of this operation.")
    case: str | None = Field(
        None,
        pattern="^[0-9a-f]{16}$",
        description="Only entries about this case, or whose response contains it.",
        examples=[CASE_ID],
    )
    before: int | None = Field(
        None, ge=0, lt=2**63, description="Cursor: `before` of the previous page."
    )
    limit: int = Field(100, ge=1, le=MAX_ENTRIES)


class ErrorOut(BaseModel):
    """Failed request or refused image."""

    at: datetime = Field(description="Time of the response, UTC.")
    request_id: str = Field(
        description="X-Request-ID of the request; the log has details under it."
    )
    key: str | None = Field(description="Id of the API key.")
    method: str = Field(examples=["POST"])
    route: str = Field(
        description="Route template; 'none' if the request was refused before it was parsed.",
        examples=["/cases/{case_id}"],
    )
    status: int = Field(examples=[503])
    problem: str | None = Field(
        description="Last part of the problem's type; null if the response was no problem.",
        examples=["Busy"],
    )
    ms: float = Field(description="Milliseconds until the response.")


class ErrorList(BaseModel):
    """Errors, newest first."""

    errors: list[ErrorOut]


class GenerationOut(BaseModel):
    """Index generation: immutable, and kept until it is pruned."""

    name: str = Field(examples=[GENERATION])
    created_at: datetime
    published_at: datetime | None = Field(
        description="Time of its last publication; null if never published."
    )
    cases: int
    checkpoint: str = Field(description="sha256 of the checkpoint whose embeddings it holds.")
    factory: str = Field(description="FAISS factory string.", examples=["Flat"])
    recall_at_10: float = Field(
        description="Share of the exact 10 nearest neighbours that a search without filter finds."
    )
    calibrated: bool = Field(
        description="True if it can convert a similarity to the chance of a shared finding."
    )
    live: bool = Field(description="True for the published generation.")
    answers: bool = Field(
        description="True if this service answers with it. That differs from `live` for a moment "
        "after a publication, and permanently if the live generation cannot be used."
    )


class GenerationList(BaseModel):
    """Generations, newest first."""

    generations: list[GenerationOut]
    damaged: list[str] = Field(
        description="Names of generations with an unreadable manifest; the log gives the reason. "
        "They cannot be published; `xemplar generations prune` deletes old ones."
    )


class Caller(BaseModel):
    """Caller of the service: its key and rights."""

    key: str | None = Field(description="Id of the API key; null while the service has no keys.")
    role: Role = Field(description="Rights of the caller.")
    sources: list[str] | None = Field(
        description="Sources whose cases the caller can see; null for all."
    )
    expires_at: datetime | None = Field(description="Expiry of the key; null for none.")


class NewKey(BaseModel):
    """Request for a new API key."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field(
        description="Owner or purpose of the key; shown in lists, not secret.", examples=["ward-3"]
    )
    role: Role = Field(
        description="participant: films of reader studies alone. reader: also queries and cases. "
        "writer: also changes to cases. admin: everything."
    )
    sources: Annotated[list[Word], Field(min_length=1, max_length=MAX_SOURCES)] | None = Field(
        None,
        description="Sources (data sets, departments) whose cases the key can see and add; null "
        "for all. A key with the role admin has all.",
        examples=[["ward-a", "ward-b"]],
    )
    expires_at: Moment | None = Field(
        None,
        description="Expiry with an offset, within a hundred years; null for none.",
        examples=["2100-01-01T00:00:00Z"],
    )


class KeyOut(BaseModel):
    """API key without its secret."""

    id: str
    name: str
    role: Role
    sources: list[str] | None = Field(description="Sources whose cases it can see; null for all.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it ends or ended; null: never.")
    last_used_at: datetime | None = Field(description="To about a minute; null: never.")
    revoked_at: datetime | None = Field(description="Null while it is not revoked.")


class NewKeyOut(KeyOut):
    """New API key with its secret."""

    secret: str = Field(
        description="Send it as `Authorization: Bearer SECRET`. It is shown only once."
    )


class KeyList(BaseModel):
    """All keys, including revoked ones, oldest first."""

    keys: list[KeyOut]
