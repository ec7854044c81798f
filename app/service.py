"""What the addresses work with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio import to_thread
from fastapi import Request

from xemplar.retriever import Retriever

from .problems import come_back
from .recent import RecentAnswers

T = TypeVar("T")


class Service:
    """What the addresses work with: made once the files are open and a query has been answered."""

    def __init__(
        self,
        retriever: Retriever,
        recent: RecentAnswers,
        concurrent: int,
        wait_seconds: float = 30.0,
    ) -> None:
        self.retriever = retriever
        self.recent = recent
        self._turns = anyio.Semaphore(concurrent)
        self._threads = anyio.CapacityLimiter(concurrent)
        self._wait_seconds = wait_seconds

    async def work(self, task: Callable[[], T]) -> T:
        """Run what takes processor time in a thread, so that the event loop never waits.

        Raises:
            Refusal: 503, as all processors were busy for too long.
        """
        with anyio.move_on_after(self._wait_seconds) as waited:
            await self._turns.acquire()
        if waited.cancelled_caught:
            raise come_back("Busy", f"no processor was free within {self._wait_seconds:g} s")
        try:
            return await to_thread.run_sync(task, limiter=self._threads)
        finally:
            self._turns.release()


@dataclass
class Opening:
    """The service, or why there is none yet.

    Attributes:
        service: None until it is ready.
        reason: what it waits for, or why it never will be ready.
    """

    service: Service | None = None
    reason: str = "the service opens its files and answers a first query to itself"


def service_of(request: Request) -> Service:
    """What a request works with.

    Raises:
        Refusal: 503, as it is not ready yet.
    """
    opening: Opening = request.state.opening
    if opening.service is None:
        raise come_back("NotReady", opening.reason)
    return opening.service


def root_of(request: Request) -> str:
    """What a reverse proxy puts before each address."""
    return str(request.scope.get("root_path", ""))
