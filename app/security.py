"""Who asks, and whether they may: API keys and roles."""

import re
import time
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from xemplar.catalog.keys import Key, Keys, Role, digest_of
from xemplar.errors import ConfigurationError, StorageError

from .limits import Rate
from .problems import Refusal, described
from .record import record_of
from .service import service_of
from .settings import Settings

REFRESH_SECONDS = 1.0
"""How old the known keys may be: a revoked one stops within that, and no picture asks for them."""

LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}

ID = re.compile("[0-9a-f]{16}")
"""Of a case, a query, a job. Nothing else of an address is noted: anybody may write there."""

WRONG_AT_ONCE = 10

DENIED = (
    described(HTTPStatus.UNAUTHORIZED, "No API key, or none that is good.")
    | described(HTTPStatus.FORBIDDEN, "The key's role does not allow this.")
    | described(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; Retry-After says when.")
    | described(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Not ready, too busy, or the database does not answer; Retry-After says when. Or store or "
        "database are read-only.",
    )
    | described(HTTPStatus.INSUFFICIENT_STORAGE, "No room on the disk of store or database.")
)
"""How OpenAPI describes what `Guard` answers."""

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


class KeyRing:
    """The keys, read again when what is known is older than `REFRESH_SECONDS`.

    A key is looked up by its secret's digest. How long that takes tells nothing: nobody can steer
    a digest towards one that is there.

    Attributes:
        keys: where they are kept.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._known: Mapping[str, Key] = {}
        self._read_at = -REFRESH_SECONDS
        self._one_reads = anyio.Lock()
        self._failure: StorageError | None = None
        self._failed_at = -REFRESH_SECONDS

    async def known(self) -> Mapping[str, Key]:
        """All keys by digest, revoked ones too.

        Raises:
            StorageError: they cannot be read; older knowledge is not used.
        """
        came = time.monotonic()
        async with self._one_reads:
            if self._failure is not None and self._failed_at >= came:
                # found out while this one waited: if each tried in turn, the last would wait long
                raise type(self._failure)(str(self._failure))
            now = time.monotonic()
            if now - self._read_at >= REFRESH_SECONDS:
                try:
                    self._known = await to_thread.run_sync(self.keys.by_digest)
                except StorageError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
                self._read_at = now
            return self._known

    async def renew(self) -> None:
        """Read the keys again at the next request: one was made or revoked right here."""
        async with self._one_reads:
            self._read_at = -REFRESH_SECONDS


class Guard:
    """Decides on each request."""

    def __init__(self, ring: KeyRing, settings: Settings) -> None:
        self.ring = ring
        self._settings = settings
        self._origins = settings.cors_origins.split(",")
        self._of_key = Rate(settings.requests_per_second, settings.requests_at_once)
        self._of_address = Rate(settings.requests_per_second, settings.requests_at_once)
        self._wrong = Rate(settings.wrong_keys_per_minute / 60, WRONG_AT_ONCE)

    @property
    def open_metrics(self) -> bool:
        """Whether metrics need no key."""
        return self._settings.open_metrics or self._settings.loopback

    async def check_start(self) -> None:
        """Refuse to let a whole network do everything.

        Raises:
            ConfigurationError: there is no key, and others than this machine reach the service.
        """
        good = any(key.revoked_at is None for key in (await self.ring.known()).values())
        if not (good or self._settings.loopback or self._settings.without_keys == "anywhere"):
            raise ConfigurationError(
                f"the service would answer anybody who reaches {self._settings.host}, as there is "
                "no API key; make one with `xemplar keys create NAME --role admin`, or listen on "
                "127.0.0.1 (--host)"
            )

    async def admit(self, request: Request, secret: str | None, needed: Role) -> None:
        """Let a request in, or raise.

        Raises:
            Refusal: 401, 403 or 429.
        """
        record, address = record_of(request), request.client.host if request.client else ""
        record.needed = needed
        record.subject = next(filter(ID.fullmatch, request.path_params.values()), None)
        self._of_address.take(address)
        known = await self.ring.known()
        if not known:
            self._check_neighbour(request)
            record.role = Role.ADMIN
            return
        key = known.get(digest_of(secret)) if secret else None
        if key is None or key.revoked_at is not None:
            if secret:
                self._wrong.take(address)
            raise _unknown(secret)
        record.key, record.role = key.id, key.role
        self._of_key.take(key.id)
        if not key.role.covers(needed):
            raise Refusal(
                "Forbidden",
                HTTPStatus.FORBIDDEN,
                f"this needs a key of role {needed}; yours is {key.role}",
            )

    def _check_neighbour(self, request: Request) -> None:
        """Without keys, other web pages in a browser on this machine must still be kept out."""
        host = request.url.hostname or ""
        elsewhere = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if elsewhere and request.headers.get("origin") not in self._origins:
            raise _keyless("the page of another site asks")
        if self._settings.loopback and host not in LOOPBACK_NAMES:
            # also what a page does whose name was made to mean this machine
            raise _keyless(f"it was asked for as {host[:60]!r}")


def _unknown(secret: str | None) -> Refusal:
    reason = "this key is not known, or revoked" if secret else "this needs an API key"
    return Refusal(
        "Unauthorized",
        HTTPStatus.UNAUTHORIZED,
        f"{reason}; send one as `Authorization: Bearer SECRET` or `X-API-Key: SECRET`",
        www_authenticate="Bearer",
    )


def _keyless(reason: str) -> Refusal:
    return Refusal(
        "Forbidden",
        HTTPStatus.FORBIDDEN,
        f"the service has no API keys and answers only its own machine, and {reason}; make a key "
        "with `xemplar keys create`",
    )


def _secret(bearer: Bearer, header: Header) -> str | None:
    return bearer.credentials if bearer else header


Secret = Annotated[str | None, Depends(_secret)]


def guard_of(request: Request) -> Guard:
    """The guard of the service that a request came to."""
    guard: Guard = request.state.guard
    return guard


def _needs(role: Role) -> Callable[..., Coroutine[Any, Any, None]]:
    async def admitted(request: Request, secret: Secret) -> None:
        service_of(request)  # while that is not ready, nobody is asked for a key
        await guard_of(request).admit(request, secret, role)

    return admitted


reader = Depends(_needs(Role.READER))
writer = Depends(_needs(Role.WRITER))
admin = Depends(_needs(Role.ADMIN))


async def _scraped(request: Request, secret: Secret) -> None:
    if not guard_of(request).open_metrics:
        await guard_of(request).admit(request, secret, Role.ADMIN)


scraper = Depends(_scraped)
"""Who reads metrics: anybody on a loopback address or where the setting says so, else an admin."""
