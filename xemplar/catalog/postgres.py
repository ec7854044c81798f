"""Connections to PostgreSQL that never wait for ever, whatever has become of the server.

A server that was stopped refuses at once. One that is frozen, or behind a network that loses what
is sent, says nothing at all: without a limit here, whoever asks it would wait as long as it does.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from sqlalchemy import URL, Dialect, Engine, create_engine, event

CONNECT_SECONDS = 3
"""After which a server that does not take a connection, or does not say that it is still there
when one is used again, is said to be unreachable."""

ANSWER_SECONDS = 5.0
"""After which a server that sends nothing at all while it is to answer a statement is said to be
unreachable: no statement of this software takes it so long, also among a million cases."""

AGAIN_SECONDS = 1.0
"""After which a server that was silent is tried again: not every request need find out anew."""

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection whose server must not be silent for longer than `ANSWER_SECONDS`.

    Attributes:
        on_silence: called when it was.
    """

    on_silence: Callable[[], None] = staticmethod(lambda: None)

    def wait(
        self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None
    ) -> T:
        """As psycopg's; a connection that did not answer is closed, for it may answer later.

        Raises:
            OperationalError: the server did not answer, or the connection is lost.
        """
        # SQLAlchemy asks whether the server is still there outside of any transaction
        seconds = CONNECT_SECONDS if self.autocommit else ANSWER_SECONDS
        try:
            return super().wait(_listening(gen, seconds), interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.on_silence()
                self.pgconn.finish()
            raise


def _listening(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """What `wait` drives, ended when nothing was heard for so long.

    psycopg's own limit would be on the whole of an answer, which may be long and on its way.
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
    """Connects, unless the server was silent a moment ago."""

    def __init__(self) -> None:
        self._silent_at = -AGAIN_SECONDS

    def connect(
        self, _dialect: Dialect, _record: object, arguments: list[Any], named: dict[str, Any]
    ) -> BoundedConnection:
        """Implements SQLAlchemy's event ``do_connect``."""
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


def connect_postgres(address: URL, *, no_timeout: bool = False) -> Engine:
    """An engine for PostgreSQL. Nothing is read from the database yet.

    Args:
        address: of the database.
        no_timeout: wait as long as an answer takes, as migrations must that rewrite a table.
    """
    engine = create_engine(
        address,
        hide_parameters=True,  # what is stored of patients stands in no error
        # a server that was restarted is found out before a question is lost on it
        pool_pre_ping=True,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"connect_timeout": CONNECT_SECONDS},
    )
    if not no_timeout:
        event.listen(engine, "do_connect", _Server().connect)
    return engine
