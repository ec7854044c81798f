"""Connections: limited in number, and in the time that a request's headers may take.

uvicorn has a time-out for connections between two requests alone. Whoever sends a header of which
the end never comes would keep a connection, and a file descriptor, for ever.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .settings import Settings

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\n"
    b"Content-Length: 0\r\n\r\n"
)
"""Said to a connection that is one too many, before anything of it is read."""

LOG = logging.getLogger("xemplar")


@dataclass
class Connections:
    """Open connections, and how many there may be.

    Attributes:
        most: in all.
        most_of_address: of one address.
        headers_seconds: in which the headers of a request must come.
        is_proxy: tells addresses that speak for others; only `most` holds for them.
    """

    most: int
    most_of_address: int
    headers_seconds: float
    is_proxy: Callable[[str], bool]
    by_address: Counter[str] = field(default_factory=Counter)

    def takes(self, address: str) -> bool:
        """Whether one more from an address fits."""
        of_address = 0 if self.is_proxy(address) else self.by_address[address]
        return self.by_address.total() < self.most and of_address < self.most_of_address


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol of HTTP, with the limits of `Connections`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        open_ones: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._open = open_ones
        self._address: str | None = None
        self._headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Implements Protocol: takes the connection, or closes it."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._open.takes(address):
            LOG.warning(
                "a connection is closed at once: there are too many open (docs/settings.md)"
            )
            transport.write(FULL)
            transport.close()
            return
        self._address = address
        self._open.by_address[address] += 1
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Implements Protocol."""
        super().connection_lost(exc)
        self._stop_watch()
        if self._address is not None:
            self._open.by_address[self._address] -= 1
            self._open.by_address += Counter()  # forget who has none
            self._address = None

    def data_received(self, data: bytes) -> None:
        """Implements Protocol."""
        if self._address is None:
            return  # it is being closed
        super().data_received(data)
        self._watch_headers()

    def _watch_headers(self) -> None:
        """Start the clock with the first byte of a request, and stop it with its last header."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_watch()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(self._open.headers_seconds, self._cut_off)

    def _stop_watch(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _cut_off(self) -> None:
        # an answer that is still being sent is none of this request
        if not self.transport.is_closing():
            self.transport.close()


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves, with our limits."""
    config = uvicorn.Config(
        app,
        timeout_graceful_shutdown=settings.stop_seconds,
        ws="none",  # a connection that changed its protocol would not be counted
        server_header=False,
        log_config=None,
        access_log=False,  # app.logs writes a line of its own, without what was asked for
    )
    proxies = ProxyHeadersMiddleware(cast(Any, app), config.forwarded_allow_ips).trusted_hosts
    limits = Connections(
        settings.connections,
        settings.connections_of_address,
        settings.headers_seconds,
        proxies.__contains__,
    )
    config.http = cast("type[asyncio.Protocol]", partial(BoundedProtocol, open_ones=limits))
    return config
