"""Maps errors to HTTP statuses and problem+json (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Receive, Scope, Send
from structlog.contextvars import get_contextvars

from xemplar import errors
from xemplar.api import Problem
from xemplar.api.cases import REPORTS
from xemplar.archive.storage_errors import storage_error

STATUSES: dict[type[errors.XemplarError], HTTPStatus] = {
    errors.UnreadableImage: HTTPStatus.BAD_REQUEST,
    errors.UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotARadiograph: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BurnedInText: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownFinding: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidArgument: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.CaseIdTaken: HTTPStatus.CONFLICT,
    errors.CaseElsewhere: HTTPStatus.CONFLICT,
    errors.TooManyPatientChanges: HTTPStatus.CONFLICT,
    errors.PseudonymTaken: HTTPStatus.CONFLICT,
    errors.TooManyRatings: HTTPStatus.CONFLICT,
    errors.ReadingGiven: HTTPStatus.CONFLICT,
    errors.TooManySaved: HTTPStatus.CONFLICT,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.DatasetError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.ReadOnlyStorage: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PicturesRemain: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseIncomplete: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IndexUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CorruptArtefact: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Mismatch: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NothingIndexed: HTTPStatus.SERVICE_UNAVAILABLE,
}

MEDIA_TYPE = "application/problem+json"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

SHOWN = 60
"""Characters of a refused value that the error message shows."""

TEXTS = REPORTS | {"text", "says"}
"""Fields of running text, of which error messages show nothing."""

SHOWN_ERRORS = 20
"""Invalid values of one request that the error message lists."""

RETRY_SECONDS = 2
"""Value of Retry-After: a query takes well under a second."""

BUSY = "Busy"
"""Kind of the problem that refuses what there is no place for now."""

log = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    """Answer of type problem+json (RFC 9457); notes its kind in the request's record."""

    media_type = MEDIA_TYPE

    def __init__(self, kind: str, status: HTTPStatus, detail: str) -> None:
        super().__init__(_body(kind, status, detail).model_dump(), status_code=status)
        self.kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        scope["state"]["record"].problem = self.kind
        await super().__call__(scope, receive, send)


class Refusal(Exception):
    """Raised to refuse a request for a reason outside the domain (limits, keys, format).

    Attributes:
        kind: last part of the problem's type.
        status: HTTP status of the answer.
        detail: what was wrong, and what to do.
        headers: additional headers of the answer.
    """

    def __init__(self, kind: str, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.kind, self.status, self.detail = kind, status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> ProblemResponse:
        """Build the answer, as problem+json."""
        response = ProblemResponse(self.kind, self.status, self.detail)
        response.headers.update(self.headers)
        return response


def come_back(kind: str, reason: str) -> Refusal:
    """Build a 503 with Retry-After."""
    return Refusal(
        kind,
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{reason}; send the request again in {RETRY_SECONDS} seconds",
        retry_after=str(RETRY_SECONDS),
    )


def described(status: HTTPStatus, text: str) -> dict[int | str, dict[str, Any]]:
    """Build OpenAPI's description of an error."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {int(status): {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}}


def refusal(error: errors.InputError) -> Problem:
    """Build the problem that replaces the answer to one image of a batch."""
    return _body(type(error).__name__, STATUSES[type(error)], str(error))


def _body(kind: str, status: HTTPStatus, detail: str) -> Problem:
    """Build a problem with the request's id, as in the log and the audit trail."""
    return Problem(
        type=f"urn:xemplar:problem:{kind}",
        title=status.phrase,
        status=status,
        detail=detail,
        instance=f"urn:xemplar:request:{get_contextvars().get('request_id', 'unknown')}",
    )


def add_problem_schema(app: FastAPI) -> None:
    """Put the schema that `described` speaks of into the OpenAPI document."""

    def openapi() -> dict[str, Any]:
        document = FastAPI.openapi(app)
        document["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error that is raised on purpose; `app.logs` answers the others."""

    @app.exception_handler(errors.XemplarError)
    async def domain(request: Request, error: errors.XemplarError) -> ProblemResponse:
        status = STATUSES[type(error)]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # paths and digests are for the operator's log, not for the caller
            log.error("%s: %s", type(error).__name__, error)
            if isinstance(error, errors.StorageError):
                return _storage(request, error, status)
            return ProblemResponse(
                type(error).__name__, status, "the service has a fault; its log has the details"
            )
        return ProblemResponse(type(error).__name__, status, str(error))

    @app.exception_handler(OSError)
    async def disk(request: Request, error: OSError) -> ProblemResponse:
        known = storage_error(error)
        if known is None:
            raise error  # unexpected
        return await domain(request, known)

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> ProblemResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> ProblemResponse:
        found = error.errors()
        wrong = [_wrong(one) for one in found[:SHOWN_ERRORS]]
        if len(found) > SHOWN_ERRORS:
            wrong.append(f"and {len(found) - SHOWN_ERRORS:,} more")
        return ProblemResponse("InvalidRequest", HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(wrong))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> ProblemResponse:
        status = HTTPStatus(error.status_code)
        detail = str(error.detail)
        if detail == status.phrase:
            asked = f"{request.method} {request.url.path[:SHOWN]}"
            detail = f"{asked} is not supported by this service; /docs lists what is"
        response = ProblemResponse("Http", status, detail)
        response.headers.update(error.headers or {})
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["allow"] = _allowed(request)
        return response


def _storage(request: Request, error: errors.StorageError, status: HTTPStatus) -> ProblemResponse:
    """Build the problem for a storage failure: what failed and why, without paths."""
    kind = type(error).__name__
    if isinstance(error, errors.PicturesRemain):
        later = "the service retries by itself, and when the request is sent again"
        return ProblemResponse(kind, status, f"{error.reason}; {later}")
    summary = getattr(request.scope.get("route"), "summary", None)
    action = error.action or (f"the request ({summary})" if summary else "the request")
    failed = f"{action} failed: {error.reason}"
    if isinstance(error, errors.DatabaseUnreachable | errors.IndexUnreachable):
        return come_back(kind, failed).response()
    return ProblemResponse(kind, status, f"{failed}; the operator of the service must fix this")


def _allowed(request: Request) -> str:
    """List all methods of an address (RFC 9110, 10.2.1); the router names only one route's."""
    scope = request.scope
    asked = {
        "type": scope["type"],
        "path": scope["path"],
        "root_path": scope.get("app_root_path", scope.get("root_path", "")),
    }

    def answers(method: str) -> bool:
        as_routed = "GET" if method == "HEAD" else method  # see `HeadAsGet`
        return any(
            route.matches(asked | {"method": as_routed})[0] == Match.FULL
            and (as_routed == "GET" or not isinstance(route, Mount))  # static files
            for route in request.app.routes
        )

    return ", ".join(filter(answers, METHODS))


def _wrong(error: dict[str, Any]) -> str:
    """Describe a value that FastAPI refused: its name, the value, and what it should be."""
    name = ".".join(str(part) for part in error["loc"][1:])
    value = repr(error["input"])
    if TEXTS.intersection(error["loc"]):
        shown = f"text of {len(value):,} characters"  # may name a patient, and errors are logged
    else:
        shown = value if len(value) <= SHOWN else value[:SHOWN] + "..."
    return f"{name} is {shown}: {error['msg']}"
