"""Authentication and authorisation: API keys and roles."""

import logging
import re
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from http import HTTPStatus

import anyio
from anyio import to_thread
from fastapi import Request

from xemplar.archive.store import Store
from xemplar.catalog import EVERYTHING
from xemplar.errors import ConfigurationError, StorageError
from xemplar.operations.keys import Key, Keys, Role, digest_of
from xemplar.operations.rates import Rates

from .daily import SHOW_NO_CASE, DailyCases
from .origins import check_host, is_from
from .problems import SHOWN, Refusal
from .record import record_of
from .settings import ServiceSettings
from .shared_rate import SharedRate

USES_SECONDS = 60.0
"""Interval at which the last uses of keys are written."""

REFRESH_SECONDS = 1.0
"""Lifetime of the cached keys: a revoked key works for at most that long."""

LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 -- none of them is a host name

ID = re.compile("[0-9a-f]{16}")
"""Id of a case, a query or a job. Nothing else of a path is logged, as callers may put anything in
it."""

WRONG_AT_ONCE = 10

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""

KEYS_LOST = (
    "API keys were created for this store, but the database has none; create one with `xemplar "
    "keys create NAME --role admin`, or set the right database (XEMPLAR_DATABASE_URL)"
)

LOG = logging.getLogger("xemplar")


class KeyRing:
    """Cache of the API keys, refreshed when it is older than `REFRESH_SECONDS`.

    A key is looked up by its secret's digest. The time that takes reveals nothing, as no caller
    can choose a secret whose digest resembles an existing one.

    The store remembers that a key existed, so an empty table afterwards means that keys were lost.

    Attributes:
        keys: table of the keys.
        lost: keys existed once, and there are none now.
    """

    def __init__(self, keys: Keys, store: Store | None = None) -> None:
        """Without ``store``, only this process remembers that a key existed."""
        self.keys = keys
        self.lost = False
        self._store = store
        self._seen = False
        self._known: Mapping[str, Key] = {}
        self._read_at = -REFRESH_SECONDS
        self._one_reads = anyio.Lock()
        self._failure: StorageError | None = None
        self._failed_at = -REFRESH_SECONDS
        self._uses: dict[str, datetime] = {}

    async def known(self) -> Mapping[str, Key]:
        """Return all keys by digest, including revoked ones.

        Raises:
            StorageError: they cannot be read; stale ones are not used.
        """
        came = time.monotonic()
        async with self._one_reads:
            if self._failure is not None and self._failed_at >= came:
                # a read failed while this request waited; retrying in turn would add up the waits
                raise type(self._failure)(str(self._failure))
            now = time.monotonic()
            if now - self._read_at >= REFRESH_SECONDS:
                try:
                    self._known = await to_thread.run_sync(self._read)
                except StorageError as error:
                    self._failure, self._failed_at = error, time.monotonic()
                    raise
                self._read_at = now
            return self._known

    def _read(self) -> Mapping[str, Key]:
        found = self.keys.by_digest()
        if found and not self._seen:
            self._seen = True
            self._remember()
        lost = not found and (
            self._seen or (self._store is not None and self._store.had_keys.exists())
        )
        if lost and not self.lost:
            LOG.critical("every request is refused with 401: %s", KEYS_LOST)
        self.lost = lost
        return found

    def _remember(self) -> None:
        if self._store is None:
            return
        try:
            self._store.remember_keys()
        except StorageError as error:
            LOG.warning("cannot record in the store that API keys exist: %s", error)

    async def renew(self) -> None:
        """Read the keys again at the next request, after this service changed one."""
        async with self._one_reads:
            self._read_at = -REFRESH_SECONDS

    def note_use(self, key: Key) -> None:
        """Record that a key was used now; `write_uses` writes it."""
        self._uses[key.id] = datetime.now(UTC)

    async def write_uses(self) -> None:
        """Write the keys' times of last use.

        Raises:
            StorageError: they could not be written, and are kept for the next try.
        """
        uses, self._uses = self._uses, {}
        try:
            await to_thread.run_sync(self.keys.note_uses, uses)
        except BaseException:
            self._uses = uses | self._uses
            raise


class Guard:
    """Admits or refuses each request."""

    def __init__(
        self,
        ring: KeyRing,
        settings: ServiceSettings,
        daily: DailyCases,
        rates: Rates | None = None,
    ) -> None:
        """``rates``: of all services of the database; None to limit rates in this one alone."""
        self.ring = ring
        self._settings = settings
        self._daily = daily
        limit = partial(SharedRate, rates=rates, pseudonym=settings.archive.pseudonym)
        often = settings.requests_per_second, settings.requests_at_once
        self._of_key, self._of_address = limit("key", *often), limit("address", *often)
        self._wrong = limit("wrong key", settings.wrong_keys_per_minute / 60, WRONG_AT_ONCE)

    async def admit_scraper(self, request: Request, secret: str | None) -> None:
        """Admit a request for metrics: without a key if a setting or a loopback address allows it.

        Raises:
            Refusal: as `admit`.
        """
        if self._settings.open_metrics:
            return
        if self._settings.loopback:
            self._check_site(request, is_open=True)
            return
        await self.admit(request, secret, Role.ADMIN)

    async def check_start(self) -> None:
        """Refuse to start a service that the network can reach without an API key.

        Raises:
            ConfigurationError: there is no key, and the service listens beyond loopback.
        """
        known = await self.ring.known()
        good = any(key.revoked_at is None for key in known.values())
        if not good and not self._may_be_open:
            raise ConfigurationError(
                f"the service would answer anyone who can reach {self._settings.host}, as there is "
                "no API key; create one with `xemplar keys create NAME --role admin`, or listen on "
                "127.0.0.1 (--host)"
            )

    async def admit(self, request: Request, secret: str | None, needed: Role) -> None:
        """Admit a request, or raise.

        Raises:
            Refusal: 401, 403, 421 or 429.
        """
        record, address = record_of(request), request.client.host if request.client else ""
        record.needed = needed
        record.subject = next(filter(ID.fullmatch, request.path_params.values()), None)
        await self._of_address.take(address)
        known = await self.ring.known()
        is_open = not known and self._may_be_open and not self.ring.lost
        self._check_site(request, is_open=is_open)
        if is_open:
            record.role, record.access = Role.ADMIN, EVERYTHING
            return
        key = known.get(digest_of(secret)) if secret else None
        if key is None or key.revoked_at is not None or key.has_expired:
            if secret:
                await self._wrong.take(address)
            if key is not None and key.revoked_at is None:
                raise _expired(key)
            raise _unknown(secret) if known else _unknown_to_all()
        self.ring.note_use(key)
        record.key, record.role, record.access = key.id, key.role, key.access
        record.expires_at = key.expires_at
        await self._of_key.take(key.id)
        if not key.role.covers(needed):
            raise Refusal(
                "Forbidden",
                HTTPStatus.FORBIDDEN,
                f"this needs a key of role {needed}; yours is {key.role}",
            )
        shows = needed in (Role.PARTICIPANT, Role.READER)
        if shows and request.scope["route"].name not in SHOW_NO_CASE:
            self._daily.check(key.id)

    @property
    def _may_be_open(self) -> bool:
        """True if everything is allowed as long as no key was ever created."""
        return self._settings.loopback or self._settings.without_keys == "anywhere"

    def _check_site(self, request: Request, *, is_open: bool) -> None:
        """Refuse requests sent by pages of other sites.

        Browsers do not attach a key by themselves, so with keys a foreign page can read nothing;
        without keys, Host and Origin are the only protection.

        Raises:
            Refusal: 421 or 403.
        """
        headers, named = request.headers, self._settings.named_hosts
        if is_open or named:
            check_host(headers, {*LOOPBACK_NAMES, *self._own_names, *named})
        listed = self._settings.origins
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if is_open and elsewhere and headers.get("origin") not in listed:
            raise _foreign("another site")
        changes = request.method not in SAFE
        if "origin" in headers and (is_open or changes) and not is_from(headers, named, listed):
            raise _foreign(headers["origin"][:SHOWN])

    @cached_property
    def _own_names(self) -> frozenset[str]:
        """Names of this machine, which do not depend on anyone else's DNS."""
        listens = set() if self._settings.host in ANY_ADDRESS else {self._settings.host}
        return frozenset(name.lower() for name in {socket.gethostname(), *listens})


def _unknown(secret: str | None) -> Refusal:
    reason = "this key is unknown or revoked" if secret else "this needs an API key"
    return Refusal(
        "Unauthorized",
        HTTPStatus.UNAUTHORIZED,
        f"{reason}; send one as `Authorization: Bearer SECRET` or `X-API-Key: SECRET`",
        www_authenticate="Bearer",
    )


def _expired(key: Key) -> Refusal:
    return Refusal(
        "KeyExpired",
        HTTPStatus.UNAUTHORIZED,
        f"this key expired on {key.expires_at:%Y-%m-%d at %H:%M} UTC; ask an administrator for "
        "a new one",
        www_authenticate="Bearer",
    )


def _unknown_to_all() -> Refusal:
    return Refusal(
        "Unauthorized",
        HTTPStatus.UNAUTHORIZED,
        "this needs an API key, and the service has none; its operator creates one with "
        "`xemplar keys create NAME --role admin`",
        www_authenticate="Bearer",
    )


def _foreign(site: str) -> Refusal:
    return Refusal(
        "Forbidden",
        HTTPStatus.FORBIDDEN,
        f"a page of {site} may not send this request; if it should, add its origin to "
        "XEMPLAR_CORS_ORIGINS, and create a key for it with `xemplar keys create`",
    )


def guard_of(request: Request) -> Guard:
    """Return the guard of the service that received a request."""
    guard: Guard = request.state.guard
    return guard
