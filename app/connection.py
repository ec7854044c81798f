"""Connections of clients: those on which no request arrives are closed, in time or for others."""

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
"""Of an IPv6 address, those that a subscriber does not choose (RFC 6177)."""


class Connection(H11Protocol):
    """uvicorn's, which would wait for ever for the head of a request, and take any number.

    Each connection is one of the files that a process may have open, so those that say nothing
    would in the end keep out everybody. `BodyLimit` sees to what comes after the head.

    Attributes:
        head_seconds: in which the request line and all headers must come, from when the connection
            was opened, or the request before was answered.
        most: connections at once; for one more, the one is closed that waited longest for a head.
        most_of_address: the same of one address, among its own. Where all of these are answered at
            present, that is the new one. Trusted proxies have no such limit, as everybody comes
            through them; nor has, with uvicorn's own setting, 127.0.0.1.
        by_address: those that are open, of all addresses that are limited.
    """

    head_seconds = 20.0
    most: float = inf
    most_of_address: float = inf
    by_address: ClassVar[defaultdict[str, set["Connection"]]] = defaultdict(set)
    _address = ""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Implements asyncio.Protocol."""
        super().connection_made(transport)
        self._await_head()
        own: set[Connection] = set()
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
        """True until the whole head of a request has come."""
        return self.conn.their_state is h11.IDLE and not self.transport.is_closing()

    @property
    def waits_until(self) -> float:
        """When it is closed if it still waits then, as the event loop's time."""
        return inf if self._deadline is None else self._deadline.when()

    def _is_trusted(self, address: str) -> bool:
        """Tell whether an address is a proxy's, by what uvicorn goes by (FORWARDED_ALLOW_IPS)."""
        return isinstance(self.app, ProxyHeadersMiddleware) and address in self.app.trusted_hosts

    def _await_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.head_seconds, self._close_headless)

    def _close_headless(self) -> None:
        if self.waits:
            self.timeout_keep_alive_handler()


def _close_one(some: Iterable[Any]) -> None:
    """Close the connection that has waited longest for a head."""
    waiting = [one for one in some if isinstance(one, Connection) and one.waits]
    min(waiting, key=lambda one: one.waits_until).timeout_keep_alive_handler()


def counted_as(address: str) -> str:
    """What an address is counted as: an IPv4 address as itself, one of IPv6 as its network."""
    try:
        one = ip_address(address)
    except ValueError:  # of a socket of another kind
        return address
    if isinstance(one, IPv6Address):
        return str(ip_network((one.packed, OWN_BITS), strict=False))
    return address


def connections(head_seconds: float, most: int = 0, most_of_address: int = 0) -> type[H11Protocol]:
    """The class of connections with such limits, as uvicorn takes it.

    Args:
        head_seconds: see `Connection`.
        most: the same; 0 for half as many as this process may have files open.
        most_of_address: the same; 0 for no limit.

    Raises:
        ConfigurationError: more than this process may have files open.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    may_have = inf if files == resource.RLIM_INFINITY else files
    if most >= may_have:
        raise ConfigurationError(
            f"XEMPLAR_CONNECTIONS is {most:,}, and this process may have {files:,} files open, of "
            "which each connection is one; take at most half of that, or raise `ulimit -n`"
        )
    members: dict[str, Any] = {
        "head_seconds": head_seconds,
        "most": most or may_have // 2,
        "most_of_address": most_of_address or inf,
        "by_address": defaultdict(set),
    }
    return type("Connection", (Connection,), members)
