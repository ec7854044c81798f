"""Audit trail: every query, change, access to a case, and denied request."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

import anyio
from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xemplar.operations.audit import Audit, AuditEntry
from xemplar.operations.keys import Role

from .daily import SHOW_NO_CASE, DailyCases
from .gathering import Gathering
from .metrics import Metrics
from .problems import BUSY, Refusal
from .record import Record
from .security import SAFE
from .tasks import Tasks, reason_of

DAY_SECONDS = 24 * 60 * 60
DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)

LOG = logging.getLogger("xemplar.audit")


class AuditTrail:
    """ASGI middleware; writes an audit entry for each request that needs one.

    A change is audited before its answer is sent. A change that succeeded but could not be audited
    is answered 503, which says so; one that failed keeps its own answer, which says why. A query
    is audited after its answer, because an entry may have to wait for the index job's transaction.
    Reads never wait, nor do requests that were denied or found no place: their entries are written
    in batches.

    Attributes:
        reads: batched entries of requests with a valid key.
        refusals: batched entries of requests without one.
    """

    def __init__(
        self,
        app: ASGIApp,
        audit: Audit,
        metrics: Metrics,
        tasks: Tasks,
        daily: DailyCases,
        reads: Gathering,
        refusals: Gathering,
    ) -> None:
        self.app = app
        self.audit = audit
        self.metrics = metrics
        self.tasks = tasks
        self.daily = daily
        self.reads = reads
        self.refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record: Record = scope["state"]["record"]
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        kept, withheld = False, ""

        async def watched(message: Message) -> None:
            nonlocal status, kept, withheld
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_change(scope, record) and status not in DENIED:
                    kept = True
                    fault = await self._keep(scope, record, status)
                    withheld = fault if status < HTTPStatus.BAD_REQUEST else ""
                elif _is_gathered(scope, record, status):
                    kept = True
                    self._gather(scope, record, status)
            if not withheld:
                await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            if not kept and _is_kept(scope, record, status):
                # even if the client has disconnected: the entry records what was done
                with anyio.CancelScope(shield=True):
                    await self._keep(scope, record, status)
        if withheld:
            await _done_unaudited(withheld).response()(scope, receive, send)

    def _gather(self, scope: Scope, record: Record, status: int) -> None:
        """Add an entry to a batch; requests without a key are recorded without case or address."""
        action = scope["route"].name
        if record.role is None:
            at, request_id = datetime.now(UTC), record.request_id
            entry = AuditEntry(at=at, request_id=request_id, action=action, status=status)
            self.refusals.add(entry)
            return
        entry = _entry(action, record, status)
        if status < HTTPStatus.BAD_REQUEST:
            case = scope["path_params"].get("case_id")
            entry = replace(entry, results=record.shown or ((case,) if case else ()))
        self.reads.add(entry)
        self.daily.note(entry.key, entry.results)

    async def _keep(self, scope: Scope, record: Record, status: int) -> str:
        """Write the entries of a request; returns why that failed, or "" if it succeeded."""
        try:
            entries = _entries(scope["route"].name, record, status)
            for entry in entries:
                self.daily.note(entry.key, entry.results)
            await to_thread.run_sync(self.audit.add, entries)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the request is done
            self.metrics.not_audited()
            self.tasks.failed("audit", error)
            LOG.critical("an answer with status %s is not audited: %s", status, error)
            return reason_of(error)
        self.tasks.succeeded("audit")
        return ""


def _done_unaudited(reason: str) -> Refusal:
    return Refusal(
        "NotAudited",
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"the request was carried out, but could not be audited: {reason}; check the result "
        "before you send it again",
    )


def _entry(action: str, record: Record, status: int) -> AuditEntry:
    return AuditEntry(
        at=datetime.now(UTC),
        request_id=record.request_id,
        key=record.key,
        role=record.role,
        action=action,
        status=status,
        subject=record.subject,
        image_sha256=record.images[0] if len(record.images) == 1 else None,
        details=record.details,
    )


def _entries(action: str, record: Record, status: int) -> list[AuditEntry]:
    """One entry for each answer, or a single entry if there was none."""
    entry = _entry(action, record, status)
    return [
        replace(
            entry,
            subject=record.subject or answer.query_id,
            image_sha256=answer.image_sha256,
            generation=answer.generation,
            results=answer.results,
        )
        for answer in record.answers
    ] or [replace(entry, results=record.shown)]


def _is_change(scope: Scope, record: Record) -> bool:
    """True if a request may change something that needs more than a reader's key."""
    return scope["method"] not in SAFE and record.needed in (Role.WRITER, Role.ADMIN)


def _is_due(record: Record, status: int) -> bool:
    """True if a request may belong in the trail.

    Requests to public addresses do not, nor do rate-limited ones, which would flood the trail.
    """
    return record.needed is not None and status != HTTPStatus.TOO_MANY_REQUESTS


def _is_gathered(scope: Scope, record: Record, status: int) -> bool:
    """True if a request was denied, found no place, or read cases without running a query."""
    found_no_place = record.problem == BUSY and not record.images
    did_nothing = status in DENIED or found_no_place
    return _is_due(record, status) and (did_nothing or _is_look(scope, record, status))


def _is_look(scope: Scope, record: Record, status: int) -> bool:
    return (
        scope["method"] in SAFE
        and not record.answers
        and status < HTTPStatus.INTERNAL_SERVER_ERROR
        and scope["route"].name not in SHOW_NO_CASE
    )


def _is_kept(scope: Scope, record: Record, status: int) -> bool:
    """True if a request was a query or a change, whose entry is written immediately."""
    return _is_due(record, status) and (scope["method"] not in SAFE or bool(record.answers))


async def forget(audit: Audit, days: int) -> None:
    """Delete entries older than `days` days."""
    number = await to_thread.run_sync(audit.forget, days)
    if number:
        LOG.info("%s entries of the audit trail were older than %s days", number, days)
