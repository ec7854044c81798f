"""Client connections: idle ones are closed after a time limit, or to make room for new ones."""

import asyncio
import resource
from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from math import inf
from typing import Any, ClassVar

import h11
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from xemplar.errors import ConfigurationError

OWN_BITS = 64
"""Length of the IPv6 prefix that identifies a subscriber (RFC 6177)."""


class LimitedConnection(H11Protocol):
    """HTTP/1.1 connection with limits; uvicorn's own has no timeout for headers, and no limit.

    Each connection uses one file descriptor, so idle connections could lock out everyone else.
    `BodyLimit` limits what follows the headers.

    Attributes:
        head_seconds: limit for the request line and all headers, counted from the opening of the
            connection or the end of the previous answer.
        most: concurrent connections; beyond it, the one that has waited longest for a request is
            closed.
        most_of_address: concurrent connections of one address; beyond it, one of its own is
            closed: the new one if all others are being answered. Trusted proxies are exempt, as
            all clients share them; with uvicorn's default, so is 127.0.0.1.
        by_address: open connections of each limited address.
    """

    head_seconds = 20.0
    most: float = inf
    most_of_address: float = inf
    by_address: ClassVar[defaultdict[str, set["LimitedConnection"]]] = defaultdict(set)
    _address = ""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Implements asyncio.Protocol."""
        super().connection_made(transport)
        self._await_head()
        own: set[LimitedConnection] = set()
        if self.client is not None and not self._is_trusted(self.client[0]):
            self._address = counted_as(self.client[0])
            own = self.by_address[self._address]
            own.add(self)
        if len(own) > self.most_of_address:
            _close_one(own)
        elif len(self.connections) > self.most:
            _close_one(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """Implements asyncio.Protocol."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._address:
            self.by_address[self._address].discard(self)
            if not self.by_address[self._address]:
                del self.by_address[self._address]

    def on_response_complete(self) -> None:
        """Implements H11Protocol."""
        super().on_response_complete()
        self._await_head()

    @property
    def waits(self) -> bool:
        """True until all headers of a request have arrived."""
        return self.conn.their_state is h11.IDLE and not self.transport.is_closing()

    @property
    def waits_until(self) -> float:
        """Time at which it is closed if still waiting, on the event loop's clock."""
        return inf if self._deadline is None else self._deadline.when()

    def _is_trusted(self, address: str) -> bool:
        """Check whether uvicorn trusts an address as a proxy (FORWARDED_ALLOW_IPS)."""
        return isinstance(self.app, ProxyHeadersMiddleware) and address in self.app.trusted_hosts

    def _await_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.head_seconds, self._close_headless)

    def _close_headless(self) -> None:
        if self.waits:
            self.timeout_keep_alive_handler()


def _close_one(some: Iterable[Any]) -> None:
    """Close the connection that has waited longest for a request."""
    waiting = [one for one in some if isinstance(one, LimitedConnection) and one.waits]
    min(waiting, key=lambda one: one.waits_until).timeout_keep_alive_handler()


def counted_as(address: str) -> str:
    """Key under which an address is counted: an IPv4 address itself, or an IPv6 network."""
    try:
        one = ip_address(address)
    except ValueError:  # the socket is not an IP socket
        return address
    if isinstance(one, IPv6Address):
        return str(ip_network((one.packed, OWN_BITS), strict=False))
    return address


def connections(head_seconds: float, most: int = 0, most_of_address: int = 0) -> type[H11Protocol]:
    """Build a protocol class for uvicorn with these limits.

    Args:
        head_seconds: see `LimitedConnection`.
        most: see `LimitedConnection`; 0 for half of the process's limit of open files.
        most_of_address: see `LimitedConnection`; 0 for no limit.

    Raises:
        ConfigurationError: ``most`` reaches the process's limit of open files.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    may_have = inf if files == resource.RLIM_INFINITY else files
    if most >= may_have:
        raise ConfigurationError(
            f"XEMPLAR_CONNECTIONS is {most:,}, but this process may have only {files:,} files open "
            "(each connection is one); set at most half of that, or raise `ulimit -n`"
        )
    members: dict[str, Any] = {
        "head_seconds": head_seconds,
        "most": most or may_have // 2,
        "most_of_address": most_of_address or inf,
        "by_address": defaultdict(set),
    }
    return type("LimitedConnection", (LimitedConnection,), members)
