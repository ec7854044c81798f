"""The queue that wakes workers up: huey, in a file of the store or on a Redis server.

A message is a job's id and nothing else; what is to be done, and whether it still is, stands in
the catalog (`xemplar.catalog.jobs`). So a message that is lost or comes twice does no harm.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from huey import RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from xemplar.catalog.failures import sqlite_kind
from xemplar.errors import ConfigurationError
from xemplar.permissions import make_file, make_folder
from xemplar.storage import writing_files
from xemplar.store import Store

ANSWER_SECONDS = 5.0
"""After which a Redis server that says nothing is said to be unreachable."""


class JsonSerializer(Serializer):  # type: ignore[misc]  # huey has no types
    """Messages as JSON. huey's own would be pickle, which runs whatever it is sent."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(data._asdict()).encode()

    def _deserialize(self, data: bytes) -> Message:
        return Message(**json.loads(bytes(data)))


class JobQueue:
    """Takes ids of jobs; a worker that listens is given them.

    Attributes:
        huey: for `create_consumer`.
    """

    def __init__(
        self, store: Store, url: str = "", run: Callable[[str], None] | None = None
    ) -> None:
        """Open the queue.

        Args:
            store: its file ``queue.sqlite`` is the queue, unless there is a URL.
            url: of a Redis server, as "redis://host:6379/0".
            run: what a worker does with an id; None for those who only put some in.

        Raises:
            ConfigurationError: the URL cannot be used, or its driver is not installed.
            StorageError: the file cannot be written.
        """
        self._file = store.queue
        self.huey: Any
        with self._reached():
            self.huey = _redis(url) if url else _sqlite(store)

        def job(job_id: str) -> None:
            if run is None:
                raise RuntimeError("this process only puts jobs in")
            run(job_id)

        self._task = self.huey.task()(job)

    def put(self, job_id: str) -> None:
        """Wake a worker up for a job.

        Raises:
            ConfigurationError, StorageError: the queue cannot be reached.
        """
        with self._reached():
            self._task(job_id)

    def is_empty(self) -> bool:
        """Whether no message waits.

        Raises:
            ConfigurationError, StorageError: the queue cannot be reached.
        """
        with self._reached():
            return not self.huey.storage.queue_size()

    def close(self) -> None:
        """Let go of the file, or of the server."""
        self.huey.storage.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            kind = sqlite_kind(error, self._file) or ConfigurationError
            raise kind(
                f"the queue {self._file} cannot be used: {error}; look at its disk and its rights"
            ) from error
        except _redis_errors() as error:
            raise ConfigurationError(
                f"the queue cannot be reached: {error}; check the address and that the server "
                "runs (XEMPLAR_QUEUE_URL)"
            ) from error


def _sqlite(store: Store) -> Any:
    """The queue in the store's file."""
    with writing_files(store.root):
        make_folder(store.root)
    make_file(store.queue)
    # not synced: a message that a power cut takes is found again by a look into the catalog
    return SqliteHuey(filename=str(store.queue), fsync=False, **_options())


def _redis(url: str) -> Any:
    """The queue on a Redis server."""
    try:
        from redis import ConnectionPool

        # a server that says nothing would let a request wait for ever
        pool = ConnectionPool.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        return RedisHuey(connection_pool=pool, **_options())
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "a queue on Redis needs its driver; install it with `pip install 'xemplar[redis]'`"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"the queue's URL cannot be used: {error}") from error


def _redis_errors() -> tuple[type[Exception], ...]:
    """What Redis's driver raises, where it is installed."""
    try:
        from redis import RedisError
    except ModuleNotFoundError:
        return ()
    return (RedisError,)


def _options() -> dict[str, Any]:
    return {"name": "xemplar", "serializer": JsonSerializer(), "results": False}
