"""The node: receives in threads of pynetdicom, answers in one thread, delivers in another.

::

    C-STORE -> spool and outbox -> acknowledged        (receiver)
    outbox: ask, index          -> results in outbox   (answering)
    outbox: send                -> the archive         (delivery)

Images are taken as soon as the folder is open, while the network is still being loaded.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeAlias

from xemplar.errors import ConfigurationError, StorageError
from xemplar.retrieval.references import StudyReferences
from xemplar.retrieval.retriever import Retriever

from ..metrics import NodeMetrics
from ..outbox.archive import ObjectArchive
from ..outbox.delivery import Delivery
from ..outbox.outbox import Outbox
from ..settings import NodeSettings
from .answering import ASK, INDEX, Answering
from .faults import place_of
from .receiver import Receiver
from .server import PeerServer, open_server

LOOK_SECONDS = 0.5
"""Interval at which a thread looks for work that nothing woke it for, as retries by a command."""

FORGET_SECONDS = 3600.0
STOP_SECONDS = 20.0
"""Time that a stopping node gives to the image in work and to the object on its way."""

LOG = logging.getLogger("xemplar.pacs")

Task: TypeAlias = Callable[[], bool]
"""Does some work; returns False if there is none left for now."""


class Loop:
    """Runs a task in a thread, again and again; no error ends it."""

    def __init__(self, name: str, task: Task, seconds: float = LOOK_SECONDS) -> None:
        self._name = name
        self._task = task
        self._seconds = seconds
        self._woken, self._over = Event(), Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._said = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    def stop(self) -> None:
        """End after the work in hand."""
        self._over.set()
        self._woken.set()

    def join(self, seconds: float) -> None:
        """Wait until it has ended."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._over.is_set():
            if not self._once():
                self._woken.wait(self._seconds)
                self._woken.clear()

    def _once(self) -> bool:
        try:
            found = self._task()
        except StorageError as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001 -- the next look may succeed
            self._say(place_of(error))
        else:
            self._said = ""
            return found
        return False

    def _say(self, what: str) -> None:
        """Log an error once, until it has passed."""
        if what != self._said:
            LOG.error("%s: %s", self._name, what)
        self._said = what


class Node:
    """A node; `running` starts and stops one.

    Attributes:
        server: takes associations.
        metrics: of it.
    """

    def __init__(
        self, settings: NodeSettings, outbox: Outbox, archive: ObjectArchive | None
    ) -> None:
        """Listen; nothing is taken before `receive`, and nothing answered before `answer`.

        Args:
            settings: of the node.
            outbox: of its folder.
            archive: gets the results; None for a node that only indexes.

        Raises:
            ConfigurationError: a TLS file cannot be used, or the port cannot be listened on.
        """
        self._settings = settings
        self._outbox = outbox
        self.metrics = NodeMetrics(outbox)
        self._loops: list[Loop] = []
        self._delivery: Loop | None = None
        self._answering: Loop | None = None
        self._closing = ExitStack()
        if archive is not None:
            delivery = Delivery(
                outbox,
                archive,
                self.metrics,
                tries=settings.tries,
                ceiling=settings.retry_seconds,
            )
            self._delivery = self._loop("delivery", lambda: delivery.deliver() > 0)
        self._loop("forgetting", self._forget, FORGET_SECONDS)
        receiver = Receiver(
            outbox,
            self.metrics,
            stage=INDEX if settings.do == "index" else ASK,
            limits=settings.limits,
            free_bytes=settings.free_bytes,
            arrived=self._arrived,
        )
        with _listening(settings.host, settings.port, "PORT"):
            self.server: PeerServer = open_server(settings, receiver, self.metrics)

    def receive(self) -> None:
        """Take images, and deliver what waits already."""
        if self._settings.metrics_port:
            host, port = self._settings.host, self._settings.metrics_port
            with _listening(host, port, "METRICS_PORT"):
                served = self.metrics.serve(host, port)
            self._closing.callback(served.server_close)
            self._closing.callback(served.shutdown)
        self.server.start()
        for loop in self._loops:
            loop.start()

    def answer(self, retriever: Retriever, references: StudyReferences | None = None) -> None:
        """Answer with a retriever, which belongs to the caller.

        Args:
            retriever: of the store.
            references: keeps the studies of images that become cases; None to keep none.
        """
        answering = Answering(
            self._outbox, retriever, self._settings, self.metrics, references=references
        )

        def work() -> bool:
            worked = answering.work()
            if worked and self._delivery is not None:
                self._delivery.wake()
            return worked

        self._answering = self._loop("answering", work)
        self._answering.start()

    def stop(self) -> None:
        """End in order: what is not finished in time is done by the next start."""
        self.server.stop()
        for loop in self._loops:
            loop.stop()
        for loop in self._loops:
            loop.join(STOP_SECONDS)
        self._closing.close()

    def _loop(self, name: str, task: Task, seconds: float = LOOK_SECONDS) -> Loop:
        self._loops.append(Loop(name, task, seconds))
        return self._loops[-1]

    def _arrived(self) -> None:
        if self._answering is not None:
            self._answering.wake()

    def _forget(self) -> bool:
        self._outbox.forget(self._settings.remember_days)
        return False


@contextmanager
def _listening(host: str, port: int, setting: str) -> Iterator[None]:
    """Name the setting of an address that cannot be listened on."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another address or "
            f"port (XEMPLAR_PACS_HOST, XEMPLAR_PACS_{setting}), or stop what listens there"
        ) from error


@contextmanager
def running(
    settings: NodeSettings, outbox: Outbox, archive: ObjectArchive | None
) -> Iterator[Node]:
    """Run a node on its folder until the block ends; arguments and errors as `Node`'s."""
    with outbox.running():
        node = Node(settings, outbox, archive)
        try:
            node.receive()
            yield node
        finally:
            node.stop()


@contextmanager
def signals() -> Iterator[SimpleQueue[int]]:
    """Yield the queue that SIGINT and SIGTERM are put into."""
    queue: SimpleQueue[int] = SimpleQueue()  # the only queue that a signal handler may use
    before = {
        number: signal.signal(number, lambda number, _frame: queue.put(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield queue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
