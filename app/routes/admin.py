"""Routes for administrators: the audit trail, and recent errors."""

from contextlib import suppress
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query

from xemplar.api import AuditEntryOut, AuditPage, AuditParameters, ErrorList
from xemplar.errors import StorageError

from ..admission import admin
from ..service import BoundServices
from .common import INVALID, api_router

router = api_router("administration", admin)


@router.get("/audit", responses=INVALID)
async def audit(
    services: BoundServices, question: Annotated[AuditParameters, Query()]
) -> AuditPage:
    """List queries, changes, views of cases and denied requests, the newest first.

    Identical reads by one key within a second are one entry, with a count; so are requests without
    a valid key within a minute.
    """
    for gathering in services.gatherings:
        with suppress(StorageError):  # the entries that are written can still be read
            await gathering.write()
    asked: dict[str, Any] = question.model_dump()
    found = await to_thread.run_sync(lambda: services.audit.entries(**asked))
    return AuditPage(
        entries=[AuditEntryOut(**vars(entry) | {"results": [*entry.results]}) for entry in found],
        before=found[-1].id if len(found) == question.limit else None,
    )


@router.get("/errors")
async def errors(services: BoundServices) -> ErrorList:
    """List the last 200 responses of status 500 or above and rejected images, the newest first.

    Since the service started, without probes. A rejected image is a POST answered 400, 413, 415
    or 422. The list holds nothing that a patient or a caller wrote; the log has more details of a
    request id.
    """
    return ErrorList(errors=services.errors.newest())
