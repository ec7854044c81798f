"""What the addresses work with."""

import copy
import io
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import numpy as np
from anyio import to_thread
from fastapi import Request
from PIL import Image

from xemplar.catalog import Access
from xemplar.imaging.overlay import jpeg, overlay
from xemplar.imaging.preprocess import preprocess
from xemplar.model.explain import grad_cam
from xemplar.retrieval.retriever import Retriever

from .problems import come_back
from .recent import RecentAnswers
from .record import record_of

T = TypeVar("T")


class Turns:
    """So many tasks at once, in threads, so that the event loop never waits for one."""

    def __init__(self, concurrent: int, wait_seconds: float) -> None:
        self._turns = anyio.Semaphore(concurrent)
        self._threads = anyio.CapacityLimiter(concurrent)
        self._wait_seconds = wait_seconds

    async def run(self, task: Callable[[], T]) -> T:
        """Run a task when its turn comes.

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


class Service:
    """What the addresses work with: made once the files are open and a query has been answered.

    Attributes:
        retriever: answers.
        recent: what was answered.
        work: runs what takes little time.
        work_on_images: runs what decodes images; what takes little time never waits for it.
        work_on_batches: runs what decodes many images; one image never waits for it.
    """

    def __init__(
        self,
        retriever: Retriever,
        recent: RecentAnswers,
        concurrent: int,
        batches: int,
        wait_seconds: float = 30.0,
    ) -> None:
        self.retriever = retriever
        self.recent = recent
        self.work = Turns(concurrent, wait_seconds).run
        self.work_on_images = Turns(concurrent, wait_seconds).run
        self.work_on_batches = Turns(batches, wait_seconds).run

    def bound(self, access: Access) -> "Service":
        """The same service within a caller's limits: cases beyond them do not exist."""
        bound = copy.copy(self)
        bound.retriever = self.retriever.bound(access)
        return bound


@dataclass
class Opening:
    """The service, or why there is none yet.

    Attributes:
        service: None until it is ready.
        reason: what it waits for, or why it never will be ready.
        closing: lets go of what was opened when the service stops.
    """

    service: Service | None = None
    reason: str = "the service opens its files and answers a first query to itself"
    closing: ExitStack = field(default_factory=ExitStack)


def service_of(request: Request) -> Service:
    """What a request works with, within the limits of whoever sent it.

    All routes come to cases through this alone, so none can forget the limits. Before the guard
    has let a request in, no case exists for it.

    Raises:
        Refusal: 503, as it is not ready yet.
    """
    opening: Opening = request.state.opening
    if opening.service is None:
        raise come_back("NotReady", opening.reason)
    return opening.service.bound(record_of(request).access)


def root_of(request: Request) -> str:
    """What a reverse proxy puts before each address."""
    return str(request.scope.get("root_path", ""))


def warm_up(retriever: Retriever) -> None:
    """Go the way of a query once, so that no user waits for what is made on first use.

    With noise, which the input validator would not let in.
    """
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    live = retriever.live
    inputs = preprocess(retriever.decode(file.getvalue()), live.checkpoint.card.spec)
    features = live.encoder.encode(inputs[None])
    live.generation.search(features.embedding[0], 5)
    cam = grad_cam(features.maps, live.checkpoint.weights["classifier.weight"])[0, 0]
    jpeg(overlay(noise, cam, live.checkpoint.card.spec))
