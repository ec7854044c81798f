"""PostgreSQL connections that never wait forever.

A stopped server refuses connections at once. A server that is frozen, or behind a network that
drops packets, does not answer at all: without a timeout here, callers would wait indefinitely.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from sqlalchemy import URL, Dialect, Engine, create_engine, event

from xemplar.catalog.sqlite import KEPT_CONNECTIONS

CONNECT_SECONDS = 3
"""Timeout for opening a connection, and for checking that a pooled one is still alive."""

ANSWER_SECONDS = 5.0
"""Silence during a statement after which the server counts as unreachable; no statement of this
software takes this long, even with a million cases."""

AGAIN_SECONDS = 1.0
"""Pause before a silent server is tried again, so that not every request waits for the timeout."""

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection that fails if its server is silent for longer than `ANSWER_SECONDS`.

    Attributes:
        on_silence: called when that happens.
    """

    on_silence: Callable[[], None] = staticmethod(lambda: None)

    def wait(
        self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None
    ) -> T:
        """Wait as psycopg does, but close a connection that does not answer.

        Raises:
            OperationalError: the server did not answer, or the connection is lost.
        """
        # SQLAlchemy's liveness check runs outside any transaction
        seconds = CONNECT_SECONDS if self.autocommit else ANSWER_SECONDS
        try:
            return super().wait(_listening(gen, seconds), interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.on_silence()
                self.pgconn.finish()
            raise


def _listening(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Drive psycopg's generator, failing after ``seconds`` of silence.

    psycopg's own timeout applies to the whole answer, which may be long and still arriving.
    """
    try:
        wanted, heard = next(gen), time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > seconds:
                raise psycopg.OperationalError(f"the server was silent for {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as over:
        return over.value  # type: ignore[no-any-return]  # it is gen's T


class _Server:
    """Opens connections, unless the server was silent a moment ago."""

    def __init__(self) -> None:
        self._silent_at = -AGAIN_SECONDS

    def connect(
        self, _dialect: Dialect, _record: object, arguments: list[Any], named: dict[str, Any]
    ) -> BoundedConnection:
        """Handle SQLAlchemy's ``do_connect`` event."""
        if time.monotonic() < self._silent_at + AGAIN_SECONDS:
            raise psycopg.OperationalError("the server did not answer a moment ago")
        try:
            connection = BoundedConnection.connect(*arguments, **named)
        except ConnectionTimeout:
            self._silent()
            raise
        connection.on_silence = self._silent
        return connection

    def _silent(self) -> None:
        self._silent_at = time.monotonic()


def connect_postgres(address: URL, connections: int, *, no_timeout: bool = False) -> Engine:
    """An engine for PostgreSQL. Nothing is read from the database yet.

    Args:
        address: of the database.
        connections: at most.
        no_timeout: wait as long as an answer takes, as migrations must that rewrite a table.
    """
    engine = create_engine(
        address,
        hide_parameters=True,  # keeps patient data out of error messages
        # detects a restarted server before a query fails
        pool_pre_ping=True,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=connections - KEPT_CONNECTIONS,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"connect_timeout": CONNECT_SECONDS},
    )
    if not no_timeout:
        event.listen(engine, "do_connect", _Server().connect)
    return engine
