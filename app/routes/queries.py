"""Questions: a film comes, similar cases go, and the pictures of both."""

from collections.abc import Callable
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.datastructures import UploadFile

from app.problems import refusal
from app.record import record_of
from app.routes.common import (
    BAD_REQUEST,
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
from app.service import root_of, service_of
from app.upload import BATCH_BODY, REQUEST_BODY, film_of, films_of
from app.wire import answer_out
from xemplar import pictures
from xemplar.answer import Answer, Stopwatch
from xemplar.errors import NotFound
from xemplar.retriever import Retriever
from xemplar.schemas import (
    AnswerOut,
    BatchOut,
    BatchQuestion,
    Problem,
    Question,
    SimilarQuestion,
)

ASKED_AGAIN = 2
"""Times that a question is asked anew because what it was answered with has just gone."""

router = APIRouter(generate_unique_id_function=operation_id, tags=["queries"])


@router.post(
    "/query",
    summary="Find similar past cases",
    response_model=AnswerOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def query(
    request: Request,
    film: Annotated[UploadFile, Depends(film_of)],
    question: Annotated[Question, Query()],
) -> Response:
    """Similar past cases for a film, with Grad-CAM overlays and similarity evidence.

    Without ``finding`` the most probable one is explained. Filters are met within the search, so
    that k cases come wherever k meet them; ``matched`` says how many did.
    """
    retriever, search = service_of(request).retriever, question.search()

    @cache  # a film is read and noted once, also where it is asked twice
    def data() -> bytes:
        return record_of(request).film(film.file.read())

    return await _answered(request, question, lambda: retriever.ask(data(), search))


@router.post(
    "/query/batch",
    summary="Find similar past cases for several films",
    response_model=list[AnswerOut | Problem],
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | INVALID,
    openapi_extra={"requestBody": BATCH_BODY},
)
async def query_batch(
    request: Request,
    films: Annotated[list[UploadFile], Depends(films_of)],
    question: Annotated[BatchQuestion, Query()],
) -> Response:
    """The answers of ``POST /query`` for up to 64 films, in their order.

    A film that cannot be used has its problem in the place of its answer; the others are
    answered. All answers come from one index generation. Their pictures are drawn when they are
    fetched, as long as the service remembers the query.
    """
    service, search, record = service_of(request), question.search(), record_of(request)

    def work() -> bytes:
        sent = [record.film(film.file.read()) for film in films]
        answers = service.retriever.ask_all(sent, search)
        out: list[AnswerOut | Problem] = []
        for place, answer in enumerate(answers):
            if isinstance(answer, Answer):
                service.recent.keep(answer)
                record.answered(answer, film=place)
                out.append(answer_out(answer, root=root_of(request)))
            else:
                out.append(refusal(answer))
        return BatchOut(out).model_dump_json().encode()

    return Response(await service.work(work), media_type="application/json")


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
    """Past cases similar to one of them, which is never in the answer itself.

    Nor are other films of its patient, unless ``same_patient`` asks for them.
    """
    retriever, search = service_of(request).retriever, question.search()
    same = question.same_patient
    return await _answered(
        request, question, lambda: retriever.similar(case_id, search, same_patient=same)
    )


async def _answered(request: Request, question: Question, ask: Callable[[], Answer]) -> Response:
    """Ask in a thread, remember the answer, and send it."""
    service = service_of(request)

    def work() -> bytes:
        answer = ask()
        watch, drawn = Stopwatch(), dict[str, bytes]()
        if question.include == "overlays":
            answer, drawn = _with_overlays(service.retriever, answer, ask)
            watch.stage("render")
        service.recent.keep(answer)
        record_of(request).answered(answer, watch.timings_ms)
        out = answer_out(
            answer, root=root_of(request), pictures=drawn, more_timings=watch.timings_ms
        )
        return out.model_dump_json().encode()

    return Response(await service.work(work), media_type="application/json")


def _with_overlays(
    retriever: Retriever, answer: Answer, ask: Callable[[], Answer]
) -> tuple[Answer, dict[str, bytes]]:
    """An answer and its pictures.

    It is a new one where a case of the first was removed, or another checkpoint began to answer,
    before all of it was drawn.
    """
    for _ in range(ASKED_AGAIN):
        try:
            return answer, pictures.overlays(retriever, answer)
        except NotFound:
            answer = ask()
    return answer, pictures.overlays(retriever, answer)


@router.get("/queries/{query_id}/image", response_class=Response, responses=PICTURE)
async def query_image(request: Request, query_id: QueryId) -> Response:
    """The film that was sent, as a display copy (longer side at most 1024 pixels)."""
    service = service_of(request)
    answer = service.recent.find(query_id)
    picture = await service.work(lambda: pictures.query_image(answer))
    return jpeg_response(picture, IMMUTABLE)


@router.get("/queries/{query_id}/overlay", response_class=Response, responses=PICTURE)
async def query_overlay(
    request: Request, query_id: QueryId, finding: Finding = None, side: Side = 512
) -> Response:
    """The film that was sent with its Grad-CAM; without a map below the finding's threshold."""
    service = service_of(request)
    answer = service.recent.find(query_id)

    def work() -> bytes:
        return pictures.query_overlay(service.retriever, answer, finding, side)

    picture = await service.work(work)
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
        case = service.retriever.indexed(case_id)
        return pictures.query_evidence(service.retriever, answer, case, side)

    return jpeg_response(await service.work(work), IMMUTABLE)
