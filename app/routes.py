"""The addresses of the service."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import anyio
from anyio import to_thread
from fastapi import APIRouter, File, Path, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from app.recent import RecentAnswers
from app.schemas import AnswerOut, CaseOut, Health, Problem, Readiness
from app.wire import answer_out, case_out
from xemplar.retriever import MAX_K, Answer, Retriever

T = TypeVar("T")

Responses = dict[int | str, dict[str, Any]]

PROBLEMS: Responses = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for status, text in {
        400: "The film cannot be read.",
        404: "No such case or query.",
        413: "The film is too large.",
        415: "A file or DICOM object of another kind.",
        422: "No radiograph, or a value outside its range.",
    }.items()
}

PICTURE: Responses = {
    200: {"content": {"image/jpeg": {}}, "description": "A JPEG picture."},
    404: PROBLEMS[404],
}

QueryId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["5f2b6c0a9d3e4f71"])]
CaseId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0fd0a7f2b8a1c9de"])]
Finding = Annotated[
    str | None, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
]
Side = Annotated[int, Query(ge=64, le=1024, description="Longest side in pixels.")]

IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
CHANGING = {"Cache-Control": "private, no-cache"}

router = APIRouter()


class Service:
    """What the addresses work with: made once, before the first request."""

    def __init__(self, retriever: Retriever, recent: RecentAnswers, concurrent: int) -> None:
        self.retriever = retriever
        self.recent = recent
        self._limiter = anyio.CapacityLimiter(concurrent)

    async def work(self, task: Callable[[], T]) -> T:
        """Run what takes processor time in a thread, so that the event loop never waits."""
        return await to_thread.run_sync(task, limiter=self._limiter)


def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


@router.post(
    "/query",
    operation_id="query",
    summary="Find similar past cases",
    responses=PROBLEMS,
)
async def query(
    request: Request,
    image: Annotated[UploadFile, File(description="PNG, JPEG, TIFF or DICOM radiograph.")],
    k: Annotated[int, Query(ge=1, le=MAX_K, description="How many cases.")] = 5,
    finding: Finding = None,
    exclude: Annotated[
        Sequence[str],
        Query(description="Case ids that must not be in the answer.", max_length=100),
    ] = (),
    include: Annotated[
        Literal["overlays"] | None, Query(description="'overlays': pictures as data URIs.")
    ] = None,
) -> AnswerOut:
    """Similar past cases for a film, with Grad-CAM overlays and similarity evidence.

    Without ``finding`` the most probable one is explained.
    """
    service = _service(request)
    data = await image.read()

    def work() -> tuple[Answer, dict[str, bytes]]:
        answer = service.retriever.ask(data, k=k, finding=finding, exclude=exclude)
        return answer, service.retriever.pictures(answer) if include else {}

    answer, pictures = await service.work(work)
    service.recent.keep(answer)
    return answer_out(answer, pictures)


@router.get("/queries/{query_id}/image", response_class=Response, responses=PICTURE)
async def query_image(request: Request, query_id: QueryId) -> Response:
    """The film that was sent, as a display copy (longer side at most 1024 pixels)."""
    service = _service(request)
    answer = service.recent.find(query_id)
    picture = await service.work(lambda: service.retriever.query_image(answer))
    return _jpeg(picture, IMMUTABLE)


@router.get("/queries/{query_id}/overlay", response_class=Response, responses=PICTURE)
async def query_overlay(
    request: Request, query_id: QueryId, finding: Finding = None, side: Side = 512
) -> Response:
    """The film that was sent with its Grad-CAM; without a map below the finding's threshold."""
    service = _service(request)
    answer = service.recent.find(query_id)
    picture = await service.work(lambda: service.retriever.query_overlay(answer, finding, side))
    return _jpeg(picture, IMMUTABLE)


@router.get(
    "/queries/{query_id}/evidence/{case_id}",
    response_class=Response,
    responses=PICTURE,
)
async def query_evidence(
    request: Request, query_id: QueryId, case_id: CaseId, side: Side = 512
) -> Response:
    """The film that was sent: which places make it similar to a case."""
    service = _service(request)
    answer = service.recent.find(query_id)

    def work() -> bytes:
        return service.retriever.query_evidence(answer, service.retriever.indexed(case_id), side)

    return _jpeg(await service.work(work), IMMUTABLE)


@router.get("/cases/{case_id}", responses={404: PROBLEMS[404]})
async def case(request: Request, case_id: CaseId) -> CaseOut:
    """A past case."""
    service = _service(request)
    return case_out(await service.work(lambda: service.retriever.indexed(case_id)))


@router.get("/cases/{case_id}/image", response_class=Response, responses=PICTURE)
async def case_image(request: Request, case_id: CaseId) -> Response:
    """A past case's film, as a display copy (longer side at most 1024 pixels)."""
    service = _service(request)

    def work() -> bytes:
        found = service.retriever.indexed(case_id)
        return service.retriever.media.display_bytes(found.image_sha256)

    return _jpeg(await service.work(work), IMMUTABLE)


@router.get("/cases/{case_id}/overlay", response_class=Response, responses=PICTURE)
async def case_overlay(
    request: Request,
    case_id: CaseId,
    finding: Annotated[str, Query(max_length=100, description="Finding to explain.")],
    side: Side = 512,
) -> Response:
    """A past case with its Grad-CAM; without a map below the finding's threshold."""
    service = _service(request)

    def work() -> bytes:
        return service.retriever.case_overlay(service.retriever.indexed(case_id), finding, side)

    return _jpeg(await service.work(work), CHANGING)


@router.get(
    "/cases/{case_id}/evidence/{query_id}",
    response_class=Response,
    responses=PICTURE,
)
async def case_evidence(
    request: Request, case_id: CaseId, query_id: QueryId, side: Side = 512
) -> Response:
    """A past case: which places make it similar to the film that was sent."""
    service = _service(request)
    answer = service.recent.find(query_id)

    def work() -> bytes:
        return service.retriever.case_evidence(answer, service.retriever.indexed(case_id), side)

    return _jpeg(await service.work(work), IMMUTABLE)


@router.get("/healthz", tags=["operation"])
async def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz", tags=["operation"])
async def readyz(request: Request) -> Readiness:
    """The service has answered its warm-up query and can answer others."""
    generation = _service(request).retriever.generation
    return Readiness(
        checkpoint=generation.manifest.checkpoint,
        generation=generation.name,
        cases=generation.manifest.count,
    )


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """To the page that documents the service."""
    return RedirectResponse("docs")


def _jpeg(picture: bytes, caching: dict[str, str]) -> Response:
    return Response(picture, media_type="image/jpeg", headers=caching)
