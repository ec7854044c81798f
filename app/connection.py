"""Connections of clients: those on which no request arrives are closed, in time or for others."""

import asyncio
import resource
from math import inf
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's, which would wait for ever for the head of a request, and take any number.

    Each connection is one of the files that a process may have open, so those that say nothing
    would in the end keep out everybody. `BodyLimit` sees to what comes after the head.

    Attributes:
        head_seconds: in which the request line and all headers must come, from when the connection
            was opened, or the request before was answered.
        most: connections at once; for one more, the one is closed that waited longest for a head.
    """

    head_seconds = 20.0
    most = inf
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Implements asyncio.Protocol."""
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.most:
            waiting = [one for one in self.connections if isinstance(one, Connection) and one.waits]
            min(waiting, key=lambda one: one.waits_until).timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Implements asyncio.Protocol."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

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

    def _await_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.head_seconds, self._close_headless)

    def _close_headless(self) -> None:
        if self.waits:
            self.timeout_keep_alive_handler()


def connections(head_seconds: float, most: float | None = None) -> type[H11Protocol]:
    """The class of connections with such limits, as uvicorn takes it.

    Args:
        head_seconds: see `Connection`.
        most: the same; None for half as many as this process may have files open.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = inf if files == resource.RLIM_INFINITY else files // 2
    members: dict[str, Any] = {"head_seconds": head_seconds, "most": most or usual}
    return type("Connection", (Connection,), members)
