"""For administrators: who asked what."""

from datetime import datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.routes.common import INVALID, operation_id
from xemplar.catalog.audit import MAX_ENTRIES, Audit

router = APIRouter(generate_unique_id_function=operation_id, tags=["administration"])


class AuditEntryOut(BaseModel):
    """One event of the audit trail."""

    id: int
    at: datetime
    request_id: str = Field(description="As in X-Request-ID; empty: the command line.")
    key: str | None = Field(description="Id of the API key.")
    role: str | None = Field(description="Of the key.")
    action: str = Field(description="Operation id.", examples=["query"])
    status: int
    subject: str | None = Field(description="Id of the case, query, job or key.")
    image_sha256: str | None = Field(description="Digest of the film that was sent.")
    generation: str | None
    results: list[str] = Field(description="Case ids, in the order of the answer.")


class AuditPage(BaseModel):
    """Entries, the newest first."""

    entries: list[AuditEntryOut]
    before: int | None = Field(description="Send it to read on; null: there are no more.")


class AuditQuestion(BaseModel):
    """Which entries; the times need an offset, as 2026-03-01T00:00:00Z."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime | None = Field(None, description="Not older than this.")
    until: AwareDatetime | None = Field(None, description="Older than this.")
    key: str | None = Field(None, max_length=16, description="Of this API key alone.")
    action: str | None = Field(None, max_length=64, description="Of this operation alone.")
    before: int | None = Field(None, ge=0, description="`before` of the page before.")
    limit: int = Field(100, ge=1, le=MAX_ENTRIES)


@router.get("/audit", responses=INVALID)
async def audit(request: Request, question: Annotated[AuditQuestion, Query()]) -> AuditPage:
    """Every query, change, start of a job and denied request, the newest first."""
    trail: Audit = request.state.audit
    asked: dict[str, Any] = question.model_dump()
    found = await to_thread.run_sync(lambda: trail.entries(**asked))
    return AuditPage(
        entries=[AuditEntryOut(**vars(entry) | {"results": [*entry.results]}) for entry in found],
        before=found[-1].id if len(found) == question.limit else None,
    )
