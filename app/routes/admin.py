"""For administrators: who asked what, and what went wrong."""

from contextlib import suppress
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request

from xemplar.api import AuditEntryOut, AuditPage, AuditParameters, ErrorList
from xemplar.errors import StorageError
from xemplar.operations.audit import Audit

from ..admission import admin
from ..recent import RecentErrors
from .common import INVALID, api_router

router = api_router("administration", admin)


@router.get("/audit", responses=INVALID)
async def audit(request: Request, question: Annotated[AuditParameters, Query()]) -> AuditPage:
    """Every query, change, look at cases and denied request, the newest first.

    Reads of one second by one key that differ in nothing are one entry, with a count; so are
    requests of one minute that came without a good key.
    """
    trail: Audit = request.state.audit
    for gathering in request.state.gatherings:
        with suppress(StorageError):  # what is there can be read all the same
            await gathering.write()
    asked: dict[str, Any] = question.model_dump()
    found = await to_thread.run_sync(lambda: trail.entries(**asked))
    return AuditPage(
        entries=[AuditEntryOut(**vars(entry) | {"results": [*entry.results]}) for entry in found],
        before=found[-1].id if len(found) == question.limit else None,
    )


@router.get("/errors")
async def errors(request: Request) -> ErrorList:
    """The last 200 answers of status 500 or above, and images that were refused, the newest first.

    Since the service was started, without probes. A refused image is a POST answered 400, 413, 415
    or 422. Nothing that a patient or a caller wrote is in it; the log tells more of a request id.
    """
    recent: RecentErrors = request.state.errors
    return ErrorList(errors=recent.newest())
