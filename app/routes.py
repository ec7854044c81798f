"""The addresses of the service."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from app.problems import described
from app.recent import RecentAnswers
from app.schemas import AnswerOut, CaseOut, Health, Question, Readiness, SimilarQuestion
from app.upload import REQUEST_BODY, film_of
from app.wire import answer_out, case_out
from xemplar.answer import Answer, Stopwatch
from xemplar.retriever import Retriever

T = TypeVar("T")

Responses = dict[int | str, dict[str, Any]]

BAD_REQUEST = described(HTTPStatus.BAD_REQUEST, "The film cannot be read.")
NOT_FOUND = described(HTTPStatus.NOT_FOUND, "No such case or query.")
TOO_LARGE = described(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The film is too large.")
OTHER_KIND = described(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A file or object of another kind.")
BUSY = described(HTTPStatus.SERVICE_UNAVAILABLE, "Too many films at once; come back.")
INVALID = described(HTTPStatus.UNPROCESSABLE_ENTITY, "No radiograph, or a value outside its range.")
PICTURE: Responses = {
    200: {
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A JPEG picture.",
    },
    **NOT_FOUND,
    **INVALID,
}

QueryId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["5f2b6c0a9d3e4f71"])]
CaseId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0fd0a7f2b8a1c9de"])]
Finding = Annotated[
    str | None, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
]
Side = Annotated[int, Query(ge=64, le=1024, description="Longest side in pixels.")]

IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
CHANGING = {"Cache-Control": "private, no-cache"}

router = APIRouter(generate_unique_id_function=lambda route: route.name)


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


def _root(request: Request) -> str:
    """What a reverse proxy puts before each address."""
    return str(request.scope.get("root_path", ""))


@router.post(
    "/query",
    summary="Find similar past cases",
    response_model=AnswerOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | OTHER_KIND | INVALID | BUSY,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def query(
    request: Request,
    film: Annotated[UploadFile, Depends(film_of)],
    question: Annotated[Question, Query()],
) -> Response:
    """Similar past cases for a film, with Grad-CAM overlays and similarity evidence.

    Without ``finding`` the most probable one is explained.
    """
    retriever = _service(request).retriever
    return await _answered(
        request,
        question,
        lambda: retriever.ask(
            film.file.read(), k=question.k, finding=question.finding, exclude=question.exclude
        ),
    )


@router.get(
    "/cases/{case_id}/similar",
    summary="Find cases similar to a past one",
    response_model=AnswerOut,
    responses=NOT_FOUND | INVALID,
)
async def similar(
    request: Request,
    case_id: CaseId,
    question: Annotated[SimilarQuestion, Query()],
) -> Response:
    """Past cases similar to one of them, which is never in the answer itself."""
    retriever = _service(request).retriever
    return await _answered(
        request,
        question,
        lambda: retriever.similar(
            case_id,
            k=question.k,
            finding=question.finding,
            exclude=question.exclude,
            same_patient=question.same_patient,
        ),
    )


async def _answered(request: Request, question: Question, ask: Callable[[], Answer]) -> Response:
    """Ask in a thread, remember the answer, and send it."""
    service = _service(request)

    def work() -> bytes:
        answer = ask()
        watch, pictures = Stopwatch(), dict[str, bytes]()
        if question.include == "overlays":
            pictures = service.retriever.pictures(answer)
            watch.stage("render")
        service.recent.keep(answer)
        out = answer_out(
            answer, root=_root(request), pictures=pictures, more_timings=watch.timings_ms
        )
        return out.model_dump_json().encode()

    return Response(await service.work(work), media_type="application/json")


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


@router.get("/cases/{case_id}", responses=NOT_FOUND | INVALID)
async def case(request: Request, case_id: CaseId) -> CaseOut:
    """A past case."""
    service = _service(request)
    found = await service.work(lambda: service.retriever.indexed(case_id))
    return case_out(found, _root(request))


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
