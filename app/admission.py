"""Admission to addresses: dependencies that a route asks before it reads a body."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from xemplar.operations.keys import Role

from .problems import described
from .security import guard_of
from .service import services_of

DENIED = (
    described(HTTPStatus.UNAUTHORIZED, "No API key, or none that is good.")
    | described(HTTPStatus.FORBIDDEN, "The key's role does not allow this.")
    | described(HTTPStatus.MISDIRECTED_REQUEST, "The service is not called so (XEMPLAR_HOSTS).")
    | described(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; Retry-After says when.")
    | described(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Not ready, too busy, or the database does not answer; Retry-After says when. Or store or "
        "database are read-only.",
    )
    | described(HTTPStatus.INSUFFICIENT_STORAGE, "No room on the disk of store or database.")
)
"""OpenAPI's description of what `Guard` answers."""

_bearer = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="Secret of an API key (`xemplar keys`)."
)
_header = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    scheme_name="api-key",
    description="The same, in a header of its own.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Header = Annotated[str | None, Security(_header)]


def _secret(bearer: Bearer, header: Header) -> str | None:
    return bearer.credentials if bearer else header


Secret = Annotated[str | None, Depends(_secret)]


class Admission:
    """Admits a role to an address. A dependency, so that OpenAPI tells.

    FastAPI reads a body before it asks dependencies: `BodyRoute` asks this one before that.
    """

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, secret: Secret) -> None:
        """Let a request in, or raise, unless its route has asked."""
        if request.scope.get("admitted") is not self:
            await self.check(request, secret)

    async def before_body(self, request: Request) -> None:
        """The same, before anything of the body is read.

        Raises:
            Refusal: 401, 403, 421, 429 or 503.
        """
        await self.check(request, _secret(await _bearer(request), await _header(request)))
        request.scope["admitted"] = self

    async def check(self, request: Request, secret: str | None) -> None:
        """Ask the guard."""
        services_of(request)  # until the service is ready, nobody is asked for a key
        await guard_of(request).admit(request, secret, self.role)


class ScraperAdmission(Admission):
    """Admits to metrics: anybody on a loopback address or where the setting says so, or admins."""

    async def check(self, request: Request, secret: str | None) -> None:
        """Ask the guard, also while the service is not ready."""
        await guard_of(request).admit_scraper(request, secret)


reader = Depends(Admission(Role.READER))
writer = Depends(Admission(Role.WRITER))
admin = Depends(Admission(Role.ADMIN))
scraper = Depends(ScraperAdmission(Role.ADMIN))
