"""Routes for operators: health, readiness, metrics, and the caller's own access."""

from collections.abc import Mapping
from http import HTTPStatus

from anyio import to_thread
from fastapi import Request, Response

from xemplar.api import Caller, Health, Readiness, TaskState

from ..admission import DENIED, participant, scraper
from ..metrics import MEDIA_TYPE, Metrics
from ..problems import described
from ..record import record_of
from ..security import KEYS_LOST, guard_of
from ..service import BoundServices, Opening
from ..tasks import Task
from .common import api_router

router = api_router("operation")

UNREADY = described(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready; the detail says why.")


@router.get("/healthz")
async def healthz() -> Health:
    """Report that the process is alive."""
    return Health()


@router.get("/readyz", responses=UNREADY)
async def readyz(request: Request, services: BoundServices) -> Readiness:
    """Report that the service answers queries: it is warmed up, and its database and index respond.

    It is ready even while changes are refused or a background task fails, as it still answers
    queries; see `writes_refused` and `tasks`.
    """
    generation = services.retriever.generation
    tasks: Mapping[str, Task] = request.state.tasks.by_name
    ring = guard_of(request).ring
    await ring.known()
    await to_thread.run_sync(services.retriever.check_answers)
    return Readiness(
        checkpoint=generation.manifest.checkpoint,
        generation=generation.name,
        cases=len(generation),
        writes_refused=tasks["writes"].reason if "writes" in tasks else None,
        keys_lost=KEYS_LOST if ring.lost else None,
        tasks={
            name: TaskState(seconds_since_success=round(task.age_seconds, 1), failing=task.reason)
            for name, task in tasks.items()
        },
    )


@router.get("/me", responses=DENIED, dependencies=[participant])
async def me(request: Request) -> Caller:
    """Describe the caller: its key, role, visible sources, and when the key expires."""
    record = record_of(request)
    assert record.role is not None  # noqa: S101 -- the guard has admitted it
    sources = record.access.sources
    return Caller(
        key=record.key,
        role=record.role,
        sources=None if sources is None else sorted(sources),
        expires_at=record.expires_at,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **DENIED},
    dependencies=[scraper],
    openapi_extra={"security": [{}]},  # a key is not always required
)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus: requests, stages, images in memory, the live generation, jobs."""
    opening: Opening = request.state.opening
    counted: Metrics = request.state.metrics
    retriever = opening.services.retriever if opening.services else None
    tasks = dict(request.state.tasks.by_name)
    text = await to_thread.run_sync(counted.text, retriever, tasks)
    return Response(text, media_type=MEDIA_TYPE)
