"""For those who run the service."""

from http import HTTPStatus

from anyio import to_thread
from fastapi import Request, Response

from xemplar.schemas import Caller, Health, Readiness

from ..metrics import MEDIA_TYPE, Metrics
from ..problems import described
from ..record import record_of
from ..security import DENIED, guard_of, reader, scraper
from ..service import Opening, service_of
from .common import api_router

router = api_router("operation")

UNREADY = described(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready; the detail says why.")


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz", responses=UNREADY)
async def readyz(request: Request) -> Readiness:
    """The service has answered its warm-up query, its database answers, and so it can others."""
    generation = service_of(request).retriever.generation
    await guard_of(request).ring.known()
    return Readiness(
        checkpoint=generation.manifest.checkpoint,
        generation=generation.name,
        cases=len(generation),
    )


@router.get("/me", responses=DENIED, dependencies=[reader])
async def me(request: Request) -> Caller:
    """Who asks: the key, and what it may do."""
    record = record_of(request)
    assert record.role is not None  # noqa: S101 -- the guard has let it in
    return Caller(key=record.key, role=record.role)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **DENIED},
    dependencies=[scraper],
    openapi_extra={"security": [{}]},  # a key is not always needed
)
async def metrics(request: Request) -> Response:
    """What Prometheus reads: requests, stages, films inside, the live generation, jobs."""
    opening: Opening = request.state.opening
    counted: Metrics = request.state.metrics
    retriever = opening.service.retriever if opening.service else None
    text = await to_thread.run_sync(counted.text, retriever)
    return Response(text, media_type=MEDIA_TYPE)
