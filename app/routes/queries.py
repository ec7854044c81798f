"""Routes that find cases similar to one or several radiographs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request, Response, status
from starlette.datastructures import UploadFile

from xemplar.api import (
    AnswerOut,
    BatchOut,
    Problem,
    QueryParameters,
    Search,
    SeriesOut,
    SimilarParameters,
    WordsAnswerOut,
)
from xemplar.errors import NotFound
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer, Stopwatch

from ..admission import reader
from ..problems import refusal
from ..record import record_of
from ..service import BoundServices, Services, Turns, root_of
from ..upload import BATCH_BODY, IMAGE_OR_NONE, QUESTION_BODY, image_or_none, images_of
from ..wire import answer_out, maps_out, series_out, words_answer_out
from .common import (
    BAD_REQUEST,
    INVALID,
    NOT_FOUND,
    OTHER_KIND,
    TOO_LARGE,
    TOO_SLOW,
    CaseId,
    QueryId,
    api_router,
    others_of,
    remember,
    remembered,
)

T = TypeVar("T")

RETRIES = 2
"""Repetitions of a search when one of its cases is removed before the answer is rendered."""

router = api_router("queries", reader)


@router.post(
    "/query",
    summary="Find similar past cases",
    response_model=AnswerOut | WordsAnswerOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": IMAGE_OR_NONE},
)
async def query(
    request: Request,
    services: BoundServices,
    image: Annotated[UploadFile | None, Depends(image_or_none)],
    search: Annotated[QueryParameters, Query()],
) -> Response:
    """Find past cases similar to an image, with Grad-CAM overlays and similarity evidence.

    Without ``finding`` the one with the highest lift is explained: that is most above its usual
    frequency. Filters apply within the search, so it returns k cases whenever k match;
    ``matched`` says how many do.

    With ``text`` and without an image, cases are found by the words of their reports alone: those
    whose reports have more of the words come first, and rare words count more. The answer has the
    same fields, except for those that belong to an image, and is not remembered.
    """
    if image is None:
        return await _by_words(request, services, search)
    retriever = services.retriever
    sent = image

    @cache  # the image is read and recorded once, even if the search is repeated
    def data() -> bytes:
        return record_of(request).image(sent.file.read())

    others = await others_of(request, services, search)
    return await _answered(
        request, services, search, lambda: retriever.ask(data(), search, others), services.images
    )


@router.post(
    "/query/together",
    summary="Find past cases similar to several images, as one question",
    response_model=AnswerOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": QUESTION_BODY},
)
async def query_together(
    request: Request,
    services: BoundServices,
    images: Annotated[list[UploadFile], Depends(images_of)],
    search: Annotated[QueryParameters, Query()],
) -> Response:
    """Answer with the cases most similar to the mean of up to 10 images, each counting as much.

    Predictions, similarities and evidence belong to the first image; each case has the part of each
    image in its score. Each image is remembered as a query of its own, so that the question can be
    repeated by ``GET /queries/{query_id}/similar`` with ``with_query``. If one of the images cannot
    be used, none is answered.
    """
    record, retriever = record_of(request), services.retriever
    others = await others_of(request, services, search)
    beside: list[Answer] = []

    @cache
    def data() -> list[bytes]:
        return [record.image(image.file.read()) for image in images]

    def ask() -> Answer:
        answer, beside[:] = retriever.ask_together(data(), search, others)
        return answer

    return await _answered(request, services, search, ask, services.batches, beside)


@router.post(
    "/query/batch",
    summary="Find similar past cases for several images",
    response_model=list[AnswerOut | Problem],
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": BATCH_BODY},
)
async def query_batch(
    request: Request,
    services: BoundServices,
    images: Annotated[list[UploadFile], Depends(images_of)],
    search: Annotated[Search, Query()],
) -> Response:
    """Answer ``POST /query`` for up to 64 images, in their order.

    For an image that cannot be used the list holds its problem instead of an answer. All answers
    come from one index generation. Overlays and evidence are rendered when they are fetched, while
    the query is remembered.
    """
    record = record_of(request)

    def work() -> bytes:
        sent = [record.image(image.file.read()) for image in images]
        answers = services.retriever.ask_all(sent, search)
        out: list[AnswerOut | Problem] = []
        for number, answer in enumerate(answers):
            if isinstance(answer, Answer):
                remember(request, services, answer)
                record.answered(answer, image=number)
                out.append(answer_out(answer, root=root_of(request)))
            else:
                out.append(refusal(answer))
        return BatchOut(out).model_dump_json().encode()

    return Response(await services.batches.run(work), media_type="application/json")


@router.post(
    "/query/series",
    summary="Find similar past cases for the latest of several images of a patient",
    response_model=SeriesOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": BATCH_BODY},
)
async def query_series(
    request: Request,
    services: BoundServices,
    images: Annotated[list[UploadFile], Depends(images_of)],
    search: Annotated[Search, Query()],
) -> Response:
    """Answer for the last image; those before it are its priors, the earliest first.

    The order is the caller's, as no date is read. Cases are ranked by the last image alone. Each
    prior is remembered as a query of its own.
    """
    record = record_of(request)

    def work() -> bytes:
        sent = [record.image(image.file.read()) for image in images]
        *priors, latest = services.retriever.ask_all(sent, search)
        if not isinstance(latest, Answer):
            raise latest
        for number, answer in enumerate([*priors, latest]):
            if isinstance(answer, Answer):
                remember(request, services, answer)
                shown = answer if answer is latest else replace(answer, neighbours=())
                record.answered(shown, image=number)
        return series_out(latest, priors, root_of(request)).model_dump_json().encode()

    return Response(await services.batches.run(work), media_type="application/json")


@router.get(
    "/cases/{case_id}/similar",
    summary="Find cases similar to a past one",
    response_model=AnswerOut,
    responses=NOT_FOUND | INVALID,
)
async def similar(
    request: Request,
    services: BoundServices,
    case_id: CaseId,
    search: Annotated[SimilarParameters, Query()],
) -> Response:
    """Find past cases similar to one of them, which is never in the answer itself.

    Nor are other images of its patient, unless ``same_patient`` includes them.
    """
    retriever, same = services.retriever, search.same_patient
    others = await others_of(request, services, search)
    return await _answered(
        request,
        services,
        search,
        lambda: retriever.similar(case_id, search, others, same_patient=same),
        services.light,
    )


@router.get(
    "/queries/{query_id}/similar",
    summary="Repeat a query with other options",
    response_model=AnswerOut,
    responses=NOT_FOUND | INVALID,
)
async def query_similar(
    request: Request,
    services: BoundServices,
    query_id: QueryId,
    search: Annotated[QueryParameters, Query()],
) -> Response:
    """Find past cases similar to an image that was sent before, while it is remembered.

    The query keeps its id, and the network does not run again.
    """
    retriever = services.retriever
    answer = await remembered(request, services, query_id)
    others = await others_of(request, services, search)
    return await _answered(
        request,
        services,
        search,
        lambda: retriever.again(answer, search, others),
        services.light,
    )


@router.post(
    "/queries/{query_id}/share",
    summary="Share a query",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NOT_FOUND | INVALID,
)
async def share_query(request: Request, services: BoundServices, query_id: QueryId) -> None:
    """Let every key that may read see the query's image and answer, while they are remembered.

    Until then only the key that sent the query sees them; not even administrators do. Readers of a
    shared query need its id. On a service without keys everybody sees all queries.
    """
    key = record_of(request).key
    await services.light.run(lambda: services.queries.share(query_id, key))


async def _by_words(request: Request, services: Services, search: QueryParameters) -> Response:
    """Answer words alone."""

    def work() -> bytes:
        answer = services.retriever.ask_words(search)
        record_of(request).shown = tuple(one.case.case_id for one in answer.neighbours)
        return words_answer_out(answer, root_of(request)).model_dump_json().encode()

    return Response(await services.light.run(work), media_type="application/json")


async def _answered(
    request: Request,
    services: Services,
    search: QueryParameters,
    ask: Callable[[], Answer],
    turns: Turns,
    beside: Sequence[Answer] = (),
) -> Response:
    """Search in a thread, remember the answer, and send it.

    Args:
        request: the request.
        services: that answer it.
        search: its parameters.
        ask: answers it.
        turns: where it waits for a thread.
        beside: filled by ``ask``: answers to the other images that were sent, to be remembered.
    """
    retriever = services.retriever

    def work() -> bytes:
        answer = ask()
        watch, drawn, maps = Stopwatch(), dict[str, bytes](), None
        if search.include == "overlays":
            answer, drawn = _with(
                lambda one: render.overlays(retriever.live, retriever.media, one), answer, ask
            )
            watch.stage("render")
        elif search.include == "maps":
            answer, found = _with(lambda one: render.maps(retriever.live, one), answer, ask)
            live = retriever.live
            strong = render.strong(live, answer.explained)
            maps = maps_out(found, live.checkpoint.card.spec.fit, strong)
            watch.stage("render")
        remember(request, services, answer)
        record_of(request).answered(answer, watch.timings_ms)
        for number, one in enumerate(beside, start=1):
            remember(request, services, one)
            record_of(request).answered(replace(one, neighbours=()), image=number)
        out = answer_out(
            answer,
            root=root_of(request),
            pictures=drawn,
            maps=maps,
            more_timings=watch.timings_ms,
        )
        return out.model_dump_json().encode()

    return Response(await turns.run(work), media_type="application/json")


def _with(
    draw: Callable[[Answer], T], answer: Answer, ask: Callable[[], Answer]
) -> tuple[Answer, T]:
    """Return an answer and its rendering.

    The search is repeated if a case of the answer is removed, or another checkpoint becomes live,
    before the answer is rendered.
    """
    for _ in range(RETRIES):
        try:
            return answer, draw(answer)
        except NotFound:
            answer = ask()
    return answer, draw(answer)
