"""Questions: a radiograph comes, similar cases go, and the pictures of both."""

import math
from collections.abc import Callable
from functools import cache
from typing import Annotated, TypeVar

import numpy as np
from fastapi import Depends, Query, Request, Response, status
from starlette.datastructures import UploadFile

from xemplar.api import (
    AnswerOut,
    BatchOut,
    MatchesOut,
    Problem,
    QueryParameters,
    Search,
    SimilarParameters,
)
from xemplar.errors import NotFound
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer, Stopwatch
from xemplar.retrieval.retriever import Retriever

from ..admission import reader
from ..problems import refusal
from ..record import record_of
from ..service import root_of, service_of
from ..upload import BATCH_BODY, REQUEST_BODY, image_of, images_of
from ..wire import answer_out, maps_out, rounded
from .common import (
    BAD_REQUEST,
    INVALID,
    NOT_FOUND,
    OTHER_KIND,
    PICTURE,
    TOO_LARGE,
    TOO_SLOW,
    CaseId,
    Finding,
    QueryId,
    Side,
    api_router,
    jpeg_response,
    remember,
    remembered,
)

T = TypeVar("T")

ASKED_AGAIN = 2
"""Times that a search is asked anew because what it was answered with has just gone."""

router = api_router("queries", reader)


@router.post(
    "/query",
    summary="Find similar past cases",
    response_model=AnswerOut,
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def query(
    request: Request,
    image: Annotated[UploadFile, Depends(image_of)],
    search: Annotated[QueryParameters, Query()],
) -> Response:
    """Similar past cases for an image, with Grad-CAM overlays and similarity evidence.

    Without ``finding`` the most probable one is explained. Filters are met within the search, so
    that k cases come wherever k meet them; ``matched`` says how many did.
    """
    retriever = service_of(request).retriever

    @cache  # an image is read and noted once, also where it is asked twice
    def data() -> bytes:
        return record_of(request).image(image.file.read())

    return await _answered(
        request, search, lambda: retriever.ask(data(), search), brings_image=True
    )


@router.post(
    "/query/batch",
    summary="Find similar past cases for several images",
    response_model=list[AnswerOut | Problem],
    responses=BAD_REQUEST | NOT_FOUND | TOO_LARGE | TOO_SLOW | OTHER_KIND | INVALID,
    openapi_extra={"requestBody": BATCH_BODY},
)
async def query_batch(
    request: Request,
    images: Annotated[list[UploadFile], Depends(images_of)],
    search: Annotated[Search, Query()],
) -> Response:
    """The answers of ``POST /query`` for up to 64 images, in their order.

    An image that cannot be used has its problem in the place of its answer; the others are
    answered. All answers come from one index generation. Their pictures are drawn when they are
    fetched, as long as the service remembers the query.
    """
    service, record = service_of(request), record_of(request)

    def work() -> bytes:
        sent = [record.image(image.file.read()) for image in images]
        answers = service.retriever.ask_all(sent, search)
        out: list[AnswerOut | Problem] = []
        for place, answer in enumerate(answers):
            if isinstance(answer, Answer):
                remember(request, answer)
                record.answered(answer, image=place)
                out.append(answer_out(answer, root=root_of(request)))
            else:
                out.append(refusal(answer))
        return BatchOut(out).model_dump_json().encode()

    return Response(await service.work_on_batches(work), media_type="application/json")


@router.get(
    "/cases/{case_id}/similar",
    summary="Find cases similar to a past one",
    response_model=AnswerOut,
    responses=NOT_FOUND | INVALID,
)
async def similar(
    request: Request,
    case_id: CaseId,
    search: Annotated[SimilarParameters, Query()],
) -> Response:
    """Past cases similar to one of them, which is never in the answer itself.

    Nor are other images of its patient, unless ``same_patient`` asks for them.
    """
    retriever = service_of(request).retriever
    same = search.same_patient
    return await _answered(
        request, search, lambda: retriever.similar(case_id, search, same_patient=same)
    )


@router.get(
    "/queries/{query_id}/similar",
    summary="Ask something else of an image that was sent",
    response_model=AnswerOut,
    responses=NOT_FOUND | INVALID,
)
async def query_similar(
    request: Request, query_id: QueryId, search: Annotated[QueryParameters, Query()]
) -> Response:
    """Past cases similar to an image that was sent, while the service remembers it.

    The query keeps its id, and the network does not run again.
    """
    service = service_of(request)
    answer = remembered(request, query_id)
    return await _answered(request, search, lambda: service.retriever.again(answer, search))


@router.post(
    "/queries/{query_id}/share",
    summary="Share an image that was sent",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NOT_FOUND | INVALID,
)
async def share_query(request: Request, query_id: QueryId) -> None:
    """Let every key that may read see image and answer, while the service remembers them.

    Until then they are unknown to all keys but the one that asked, administrators' too. Whoever is
    to see them needs the query's id. Without keys all are everybody's.
    """
    service_of(request).recent.share(query_id, record_of(request).key)


async def _answered(
    request: Request,
    search: QueryParameters,
    ask: Callable[[], Answer],
    *,
    brings_image: bool = False,
) -> Response:
    """Ask in a thread, remember the answer, and send it."""
    service = service_of(request)

    def work() -> bytes:
        answer = ask()
        watch, drawn, maps = Stopwatch(), dict[str, bytes](), None
        if search.include == "overlays":
            answer, drawn = _with(render.overlays, service.retriever, answer, ask)
            watch.stage("render")
        elif search.include == "maps":
            answer, found = _with(render.maps, service.retriever, answer, ask)
            maps = maps_out(found, service.retriever.checkpoint.card.spec.fit)
            watch.stage("render")
        remember(request, answer)
        record_of(request).answered(answer, watch.timings_ms)
        out = answer_out(
            answer,
            root=root_of(request),
            pictures=drawn,
            maps=maps,
            more_timings=watch.timings_ms,
        )
        return out.model_dump_json().encode()

    run = service.work_on_images if brings_image else service.work
    return Response(await run(work), media_type="application/json")


def _with(
    draw: Callable[[Retriever, Answer], T],
    retriever: Retriever,
    answer: Answer,
    ask: Callable[[], Answer],
) -> tuple[Answer, T]:
    """An answer and what is drawn of it.

    It is a new one where a case of the first was removed, or another checkpoint began to answer,
    before all of it was drawn.
    """
    for _ in range(ASKED_AGAIN):
        try:
            return answer, draw(retriever, answer)
        except NotFound:
            answer = ask()
    return answer, draw(retriever, answer)


@router.get("/queries/{query_id}/image", response_class=Response, responses=PICTURE)
async def query_image(request: Request, query_id: QueryId, side: Side = 1024) -> Response:
    """The image that was sent, as a display copy."""
    service = service_of(request)
    answer = remembered(request, query_id)
    picture = await service.work(lambda: render.query_image(answer, side))
    return jpeg_response(picture)


@router.get("/queries/{query_id}/overlay", response_class=Response, responses=PICTURE)
async def query_overlay(
    request: Request, query_id: QueryId, finding: Finding = None, side: Side = 512
) -> Response:
    """The image that was sent with its Grad-CAM; without a map below the finding's threshold."""
    service = service_of(request)
    answer = remembered(request, query_id)

    def work() -> bytes:
        return render.query_overlay(service.retriever, answer, finding, side)

    picture = await service.work(work)
    return jpeg_response(picture)


@router.get(
    "/queries/{query_id}/evidence/{case_id}",
    response_class=Response,
    responses=PICTURE,
)
async def query_evidence(
    request: Request, query_id: QueryId, case_id: CaseId, side: Side = 512
) -> Response:
    """The image that was sent: which places make it similar to a case."""
    service = service_of(request)
    answer = remembered(request, query_id)

    def work() -> bytes:
        case = service.retriever.indexed(case_id)
        return render.query_evidence(service.retriever, answer, case, side)

    return jpeg_response(await service.work(work))


@router.get("/queries/{query_id}/matches/{case_id}", responses=NOT_FOUND | INVALID)
async def query_matches(request: Request, query_id: QueryId, case_id: CaseId) -> MatchesOut:
    """Matching locations of the query image and a case; all shares add up to the similarity."""
    service = service_of(request)
    answer = remembered(request, query_id)

    def work() -> MatchesOut:
        case = service.retriever.indexed(case_id)
        shares = render.matches(service.retriever, answer, case)
        similarity = float(shares.sum(dtype=np.float64).clip(-1, 1))
        return MatchesOut(
            similarity=similarity, grid=math.isqrt(len(shares)), shares=rounded(shares)
        )

    return await service.work(work)
