"""Questions: a film comes, similar cases go, and the pictures of both."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.datastructures import UploadFile

from app.routes.common import (
    BAD_REQUEST,
    BUSY,
    IMMUTABLE,
    INVALID,
    NOT_FOUND,
    OTHER_KIND,
    PICTURE,
    TOO_LARGE,
    CaseId,
    Finding,
    QueryId,
    Side,
    jpeg_response,
    operation_id,
)
from app.schemas import AnswerOut, Question, SimilarQuestion
from app.service import root_of, service_of
from app.upload import REQUEST_BODY, film_of
from app.wire import answer_out
from xemplar.answer import Answer, Stopwatch

router = APIRouter(generate_unique_id_function=operation_id, tags=["queries"])


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
    retriever = service_of(request).retriever
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
    retriever = service_of(request).retriever
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
    service = service_of(request)

    def work() -> bytes:
        answer = ask()
        watch, pictures = Stopwatch(), dict[str, bytes]()
        if question.include == "overlays":
            pictures = service.retriever.pictures(answer)
            watch.stage("render")
        service.recent.keep(answer)
        out = answer_out(
            answer, root=root_of(request), pictures=pictures, more_timings=watch.timings_ms
        )
        return out.model_dump_json().encode()

    return Response(await service.work(work), media_type="application/json")


@router.get("/queries/{query_id}/image", response_class=Response, responses=PICTURE)
async def query_image(request: Request, query_id: QueryId) -> Response:
    """The film that was sent, as a display copy (longer side at most 1024 pixels)."""
    service = service_of(request)
    answer = service.recent.find(query_id)
    picture = await service.work(lambda: service.retriever.query_image(answer))
    return jpeg_response(picture, IMMUTABLE)


@router.get("/queries/{query_id}/overlay", response_class=Response, responses=PICTURE)
async def query_overlay(
    request: Request, query_id: QueryId, finding: Finding = None, side: Side = 512
) -> Response:
    """The film that was sent with its Grad-CAM; without a map below the finding's threshold."""
    service = service_of(request)
    answer = service.recent.find(query_id)
    picture = await service.work(lambda: service.retriever.query_overlay(answer, finding, side))
    return jpeg_response(picture, IMMUTABLE)


@router.get(
    "/queries/{query_id}/evidence/{case_id}",
    response_class=Response,
    responses=PICTURE,
)
async def query_evidence(
    request: Request, query_id: QueryId, case_id: CaseId, side: Side = 512
) -> Response:
    """The film that was sent: which places make it similar to a case."""
    service = service_of(request)
    answer = service.recent.find(query_id)

    def work() -> bytes:
        return service.retriever.query_evidence(answer, service.retriever.indexed(case_id), side)

    return jpeg_response(await service.work(work), IMMUTABLE)
