"""Logs: one line per request, as text or JSON, without any patient's or caller's data."""

import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import Processor

from xemplar.api import ErrorOut

from .metrics import Metrics
from .problems import ProblemResponse
from .recent import RecentErrors
from .record import Record

CALLERS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Form of a caller's X-Request-ID that is logged; others are left out."""

LOG = logging.getLogger("xemplar.requests")

PROBES = ("/healthz", "/readyz", "/metrics")

REFUSED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""Statuses of unusable images. Denied requests are in the audit trail instead."""


class RequestLog:
    """ASGI middleware; assigns request ids, logs each request, and answers unexpected errors.

    The service generates the id, because audit trail and error list rely on it. A caller's own
    X-Request-ID, by which a proxy's log finds the request, is logged beside it. The line has the
    route's template ("/cases/{case_id}"), never the requested path.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, errors: RecentErrors) -> None:
        self.app = app
        self.metrics = metrics
        self.errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        brought = Headers(scope=scope).get("x-request-id", "")
        ids = {"request_id": (request_id := secrets.token_hex(16))}
        if CALLERS_ID.fullmatch(brought):
            ids["callers_id"] = brought
        record = Record(request_id)
        scope.setdefault("state", {})["record"] = record
        began, status = time.perf_counter(), 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with bound_contextvars(**ids):
            try:
                await self.app(scope, receive, named)
            except Exception:
                LOG.exception("unexpected error")
                if not status:
                    await _unexpected(scope, receive, named)
                raise
            finally:
                self._tell(scope, record, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, record: Record, status: int, seconds: float) -> None:
        route = scope.get("route")
        self.metrics.answered(getattr(route, "name", "none"), status, seconds)
        for answer in record.answers:
            self.metrics.timed(answer.timings_ms)
        about: dict[str, Any] = {
            "method": scope["method"],
            "route": getattr(route, "path_format", "none"),
            "status": int(status),  # 0: the client left before there was an answer
            "ms": round(seconds * 1000, 1),
            "key": record.key,
        }
        # probes repeat every few seconds, and their results are in the metrics
        level = logging.DEBUG if about["route"] in PROBES else logging.INFO
        LOG.log(level, "request", extra=about)
        if about["route"] not in PROBES and _is_error(scope["method"], status):
            now, request_id, problem = datetime.now(UTC), record.request_id, record.problem
            self.errors.keep(ErrorOut(at=now, request_id=request_id, problem=problem, **about))


def _is_error(method: str, status: int) -> bool:
    refused = method == "POST" and status in REFUSED
    return refused or status >= HTTPStatus.INTERNAL_SERVER_ERROR


async def _unexpected(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "Unexpected error. The service's log has the details, under the request's id."
    answer = ProblemResponse("Internal", HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    await answer(scope, receive, send)


def configure_logs(form: str) -> None:
    """Write all logs of this process, including uvicorn's, to stderr.

    Args:
        form: "text", "json", or "auto": text on a terminal, else JSON.
    """
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        lambda _logger, _name, line: {k: v for k, v in line.items() if k != "color_message"},
    ]
    if text:
        # the default formatter prints the values of local variables, here whole images
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        ending.append(structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain))
    else:
        ending += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=ending)
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)  # it reports "complete" before the service is ready
    # RequestLog has already logged it, with the request's id
    server.addFilter(lambda line: not line.getMessage().startswith("Exception in ASGI application"))
