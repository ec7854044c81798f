"""Admission of requests: dependencies that check the API key before a route reads a body."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from xemplar.operations.keys import Role

from .problems import described
from .security import guard_of
from .service import check_ready

DENIED = (
    described(HTTPStatus.UNAUTHORIZED, "The API key is missing, unknown, revoked or expired.")
    | described(HTTPStatus.FORBIDDEN, "The key's role does not allow this.")
    | described(HTTPStatus.MISDIRECTED_REQUEST, "Unknown host name (XEMPLAR_HOSTS).")
    | described(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; Retry-After says when to retry.")
    | described(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Not ready, too busy, or the database does not answer (Retry-After says when to retry); or "
        "the store or the database is read-only.",
    )
    | described(HTTPStatus.INSUFFICIENT_STORAGE, "The disk of the store or the database is full.")
)
"""OpenAPI's description of the refusals that `Guard` raises."""

_bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="Secret of an API key (`xemplar keys`)."
)
_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    scheme_name="api-key",
    description="Secret of an API key, in a header of its own.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Header = Annotated[str | None, Security(_header)]


async def _secret(bearer: Bearer, header: Header) -> str | None:
    return bearer.credentials if bearer else header


Secret = Annotated[str | None, Depends(_secret)]


class Admission:
    """Admits requests whose key covers a role. A dependency, so that OpenAPI documents it.

    FastAPI reads the body before it resolves dependencies, so `BodyRoute` calls this one earlier.
    """

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, secret: Secret) -> None:
        """Admit a request or raise, unless its route has already checked it."""
        if request.scope.get("admitted") is not self:
            await self.check(request, secret)

    async def before_body(self, request: Request) -> None:
        """Admit a request or raise, before any of the body is read.

        Raises:
            Refusal: 401, 403, 421, 429 or 503.
        """
        secret = await _secret(await _bearer(request), await _header(request))
        await self.check(request, secret)
        request.scope["admitted"] = self

    async def check(self, request: Request, secret: str | None) -> None:
        """Check the request with the guard."""
        check_ready(request)  # before the key: until then nobody needs one
        await guard_of(request).admit(request, secret, self.role)


class ScraperAdmission(Admission):
    """Admits to metrics: administrators, or anyone on loopback or with XEMPLAR_OPEN_METRICS."""

    async def check(self, request: Request, secret: str | None) -> None:
        """Check the request with the guard, even while the service is not ready."""
        await guard_of(request).admit_scraper(request, secret)


participant = Depends(Admission(Role.PARTICIPANT))
reader = Depends(Admission(Role.READER))
writer = Depends(Admission(Role.WRITER))
admin = Depends(Admission(Role.ADMIN))
scraper = Depends(ScraperAdmission(Role.ADMIN))
