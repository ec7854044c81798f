"""`Services`: the parts of the service that its routes use, bound to the sources of a caller."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Annotated, Self, TypeVar

import anyio
from anyio import to_thread
from fastapi import Depends, Request

from xemplar.catalog import Access, Catalog
from xemplar.operations.audit import Audit
from xemplar.operations.collections import Collections
from xemplar.operations.jobs import Jobs
from xemplar.operations.keys import Keys
from xemplar.operations.raters import Raters
from xemplar.operations.ratings import Ratings
from xemplar.operations.reader_studies import ReaderStudies
from xemplar.retrieval.references import StudyReferences
from xemplar.retrieval.retriever import Retriever

from .gathering import Gathering
from .problems import BUSY, come_back
from .recent import RecentErrors
from .record import record_of
from .remembered import RememberedQueries

T = TypeVar("T")


class Turns:
    """Runs blocking tasks in threads, at most ``concurrent`` of them at a time."""

    def __init__(self, concurrent: int, wait_seconds: float) -> None:
        """``wait_seconds``: after which a waiting task is rejected."""
        self._turns = anyio.Semaphore(concurrent)
        self._threads = anyio.CapacityLimiter(math.inf)  # the semaphore limits them
        self._wait_seconds = wait_seconds

    async def run(self, task: Callable[[], T]) -> T:
        """Run a task once a thread is free.

        Raises:
            Refusal: 503, as no thread became free in time.
        """
        with anyio.move_on_after(self._wait_seconds) as waited:
            await self._turns.acquire()
        if waited.cancelled_caught:
            raise come_back(BUSY, f"no processor was free within {self._wait_seconds:g} s")
        try:
            return await to_thread.run_sync(task, limiter=self._threads)
        finally:
            self._turns.release()


@dataclass(frozen=True, kw_only=True)
class Services:
    """Parts of the service that its routes use; made once its files are open and warmed up.

    A route declares a parameter `BoundServices`, and so gets a copy that is bound to the caller's
    sources.

    Attributes:
        retriever: answers queries, within the caller's access.
        ratings: readers' ratings, within the caller's access.
        raters: readers' pseudonyms.
        reader_studies: studies and their readings, within the caller's access.
        jobs: long-running work for ``xemplar worker``.
        keys: API keys in the database. `Guard` holds the cached ones.
        audit: the audit trail in the database.
        gatherings: audit entries that are not written yet.
        queries: those that may still be explained or repeated.
        references: keeps what cases keep of their studies; None where that is nothing.
        takes_reports: whether cases may carry reports.
        collections: readers' collections, within the caller's access.
        errors: the latest failed requests, in memory.
        light: turns of tasks that take little time.
        images: turns of tasks that decode an image; light tasks never wait for them.
        batches: turns of tasks that decode many images; a single image never waits for them.
    """

    retriever: Retriever
    ratings: Ratings
    raters: Raters
    reader_studies: ReaderStudies
    jobs: Jobs
    keys: Keys
    audit: Audit
    gatherings: tuple[Gathering, ...]
    queries: RememberedQueries
    collections: Collections
    references: StudyReferences | None
    takes_reports: bool
    errors: RecentErrors
    light: Turns
    images: Turns
    batches: Turns

    @property
    def catalog(self) -> Catalog:
        """The cases, within the caller's access."""
        return self.retriever.catalog

    def bound(self, access: Access) -> Self:
        """Return a copy within a caller's access: other cases do not exist for it."""
        return replace(
            self,
            retriever=self.retriever.bound(access),
            ratings=Ratings(self.catalog.engine, access),
            reader_studies=ReaderStudies(self.catalog.engine, access),
            collections=self.collections.bound(access),
        )


@dataclass
class Opening:
    """The services, or the reason why they are not available.

    Attributes:
        services: None until the service is ready.
        reason: what it waits for, or why it will never be ready.
        closing: closes what was opened when the service stops.
    """

    services: Services | None = None
    reason: str = "the service opens its files and answers a first query to itself"
    closing: ExitStack = field(default_factory=ExitStack)


def services_of(request: Request) -> Services:
    """Return the services, bound to the access of the request's caller.

    Routes reach cases through this function alone, so none can forget the access. No case exists
    for a request that the guard has not admitted.

    Raises:
        Refusal: 503, as the service is not ready.
    """
    return _ready(request).bound(record_of(request).access)


def check_ready(request: Request) -> None:
    """Refuse a request while the service is not ready.

    Raises:
        Refusal: 503.
    """
    _ready(request)


def _ready(request: Request) -> Services:
    opening: Opening = request.state.opening
    if opening.services is None:
        raise come_back("NotReady", opening.reason)
    return opening.services


async def _bound_services(request: Request) -> Services:
    return services_of(request)  # in the event loop: FastAPI runs plain functions in threads


BoundServices = Annotated[Services, Depends(_bound_services)]
"""Parameter of a route: the services, bound to the access of its caller."""


def root_of(request: Request) -> str:
    """Return the path prefix that a reverse proxy adds, as "/xemplar"."""
    return str(request.scope.get("root_path", ""))
