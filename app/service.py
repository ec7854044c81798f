"""What the addresses work with."""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread
from fastapi import Request

from app.recent import RecentAnswers
from xemplar.retriever import Retriever

T = TypeVar("T")


class Service:
    """What the addresses work with: made once, before the first request."""

    def __init__(self, retriever: Retriever, recent: RecentAnswers, concurrent: int) -> None:
        self.retriever = retriever
        self.recent = recent
        self._limiter = anyio.CapacityLimiter(concurrent)

    async def work(self, task: Callable[[], T]) -> T:
        """Run what takes processor time in a thread, so that the event loop never waits."""
        return await to_thread.run_sync(task, limiter=self._limiter)


def service_of(request: Request) -> Service:
    """What a request works with."""
    service: Service = request.state.service
    return service


def root_of(request: Request) -> str:
    """What a reverse proxy puts before each address."""
    return str(request.scope.get("root_path", ""))
