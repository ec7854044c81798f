"""Checks before a body is read: API key, content type (415), and size of JSON."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .admission import Admission
from .problems import SHOWN, Refusal

MULTIPART, JSON = "multipart/form-data", "application/json"

MAX_PARTS = 4000
"""Limit on lists, objects and values in JSON. The largest request, 1,000 ratings, has 3,000."""

MARKS = (b"[", b"{", b",")
"""Bytes that begin a part."""

ADVICE = {
    MULTIPART: "send multipart/form-data with the radiograph as a file named 'image', as "
    "`curl -F image=@radiograph.dcm` does",
    JSON: "send JSON, with the header `Content-Type: application/json`",
}
"""Advice on what to send instead, by accepted media type."""


class BodyRoute(APIRoute):
    """Route that refuses requests by their headers, before any of the body is read.

    The key is checked first, so a caller without one does not learn what an address accepts.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Implements APIRoute."""
        handle = super().get_route_handler()
        describes_form = "requestBody" in (self.openapi_extra or {})
        admissions = [one.dependency for one in self.dependencies]
        taken = MULTIPART if describes_form else JSON if self.body_field else None

        async def checked(request: Request) -> Response:
            for admission in admissions:
                if isinstance(admission, Admission):
                    await admission.before_body(request)
            if taken is not None and has_body(request.headers):
                check_body(request.headers, taken)
                if taken == JSON:
                    check_json(await _whole(request))
            return await handle(request)

        return checked


def has_body(headers: Headers) -> bool:
    """Check whether a request has a body that is not empty (RFC 9112, 6)."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def check_body(headers: Headers, taken: str) -> None:
    """Refuse a compressed body, or one of another type.

    Args:
        headers: of the request.
        taken: media type that the address accepts: `MULTIPART` or `JSON`.

    Raises:
        Refusal: 415, naming what was sent and what to send instead.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise _refusal(
            f"the body is compressed (Content-Encoding: {encoding[:SHOWN]}), which this service "
            "does not accept; send it without Content-Encoding",
            accept_encoding="identity",
        )
    came = headers.get("content-type", "").partition(";")[0].strip().lower()
    if came != taken and not (taken == JSON and _is_json(came)):
        named = f"is {came[:SHOWN]}" if came else "has no Content-Type"
        raise _refusal(
            f"the body {named}, which this address does not accept; {ADVICE[taken]}", accept=taken
        )


def check_json(body: bytes) -> None:
    """Refuse JSON with more lists, objects and values than any request needs, before parsing it.

    Parsed, each of them takes a hundred times as much memory as its bytes. These characters count
    within strings too; no string of an accepted length comes near the limit.

    Raises:
        Refusal: 422.
    """
    if sum(map(body.count, MARKS)) > MAX_PARTS:
        raise Refusal(
            "InvalidRequest",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the body holds more than {MAX_PARTS:,} lists, objects and values, the limit; "
            "/docs shows what this address accepts",
        )


async def _whole(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "the client disconnected before the body had arrived") from error


def _is_json(media_type: str) -> bool:
    """True for formats based on JSON (RFC 6839), which FastAPI parses as JSON too."""
    return media_type.startswith("application/") and media_type.endswith("+json")


def _refusal(detail: str, **headers: str) -> Refusal:
    return Refusal("UnsupportedMediaType", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, **headers)
