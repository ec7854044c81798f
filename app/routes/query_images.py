"""Routes for the images of a query: its pictures, evidence, values, and text burnt into it."""

import math

import numpy as np
from fastapi import Request, Response

from xemplar.api import MatchesOut, TextOut
from xemplar.errors import NotFound
from xemplar.retrieval import render

from ..admission import reader
from ..service import BoundServices
from ..wire import rounded
from .common import (
    INVALID,
    NOT_FOUND,
    PICTURE,
    CaseId,
    Finding,
    QueryId,
    Responses,
    Side,
    api_router,
    jpeg_response,
    remembered,
)

VALUES: Responses = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "Levels, uint16.",
    },
    **NOT_FOUND,
    **INVALID,
}

router = api_router("queries", reader)


@router.get("/queries/{query_id}/image", response_class=Response, responses=PICTURE)
async def query_image(
    request: Request, services: BoundServices, query_id: QueryId, side: Side = 1024
) -> Response:
    """Get the display copy of the query image."""
    answer = await remembered(request, services, query_id)
    return jpeg_response(await services.light.run(lambda: render.query_image(answer, side)))


@router.get("/queries/{query_id}/values", response_class=Response, responses=VALUES)
async def query_values(request: Request, services: BoundServices, query_id: QueryId) -> Response:
    """Get the query image's own values, before any window, where they are deeper than 8 bits.

    Each pixel is a level, uint16, little endian, row by row; ``values`` of the answer has height,
    width, slope, intercept and window. They are in the memory of the service that answered, for
    its newest queries alone, and are never stored.
    """
    deep = (await remembered(request, services, query_id)).deep
    if deep is None:
        raise NotFound(
            f"query {query_id} has no values beyond its display copy: the image has 8 bits, or "
            "they were forgotten; send a deeper image again to have them"
        )
    levels = deep.levels.astype("<u2", copy=False).tobytes()
    return Response(levels, media_type="application/octet-stream")


@router.get("/queries/{query_id}/text", responses=NOT_FOUND | INVALID)
async def query_text(request: Request, services: BoundServices, query_id: QueryId) -> TextOut:
    """Find text that is burnt into the query image, to be masked; it is not read."""
    answer = await remembered(request, services, query_id)
    return await services.light.run(lambda: TextOut(boxes=[[*box] for box in answer.text]))


@router.get("/queries/{query_id}/overlay", response_class=Response, responses=PICTURE)
async def query_overlay(
    request: Request,
    services: BoundServices,
    query_id: QueryId,
    finding: Finding = None,
    side: Side = 512,
) -> Response:
    """Get the query image with its Grad-CAM; without a map unless the finding is called."""
    answer = await remembered(request, services, query_id)

    def work() -> bytes:
        return render.query_overlay(services.retriever.live, answer, finding, side)

    return jpeg_response(await services.light.run(work))


@router.get(
    "/queries/{query_id}/evidence/{case_id}",
    response_class=Response,
    responses=PICTURE,
)
async def query_evidence(
    request: Request,
    services: BoundServices,
    query_id: QueryId,
    case_id: CaseId,
    side: Side = 512,
) -> Response:
    """Get the query image with the spatial locations that make it similar to a case."""
    retriever, answer = services.retriever, await remembered(request, services, query_id)

    def work() -> bytes:
        return render.query_evidence(retriever.live, answer, retriever.indexed(case_id), side)

    return jpeg_response(await services.light.run(work))


@router.get("/queries/{query_id}/matches/{case_id}", responses=NOT_FOUND | INVALID)
async def query_matches(
    request: Request, services: BoundServices, query_id: QueryId, case_id: CaseId
) -> MatchesOut:
    """Get matching locations of the query image and a case; the shares sum to the similarity."""
    retriever, answer = services.retriever, await remembered(request, services, query_id)

    def work() -> MatchesOut:
        case = retriever.indexed(case_id)
        shares = render.matches(retriever.live, retriever.media, answer, case)
        similarity = float(shares.sum(dtype=np.float64).clip(-1, 1))
        return MatchesOut(
            similarity=similarity, grid=math.isqrt(len(shares)), shares=rounded(shares)
        )

    return await services.light.run(work)
