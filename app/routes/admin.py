"""For administrators: who asked what, and what went wrong."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request

from xemplar.catalog.audit import Audit
from xemplar.schemas import AuditEntryOut, AuditPage, AuditQuestion, ErrorList

from ..admission import admin
from ..recent import RecentErrors
from .common import INVALID, api_router

router = api_router("administration", admin)


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


@router.get("/errors")
async def errors(request: Request) -> ErrorList:
    """The last 200 answers of status 500 or above, and films that were refused, the newest first.

    Since the service was started, without probes. A refused film is a POST answered 400, 413, 415
    or 422. Nothing that a patient or a caller wrote is in it; the log tells more of a request id.
    """
    recent: RecentErrors = request.state.errors
    return ErrorList(errors=recent.newest())
