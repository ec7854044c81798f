"""Past cases and their pictures."""

from typing import Annotated

from fastapi import Query, Request, Response

from xemplar.api import CaseOut, CasePage, CaseQuery, FindingList, FindingOut
from xemplar.catalog import Case
from xemplar.retrieval import render

from ..admission import reader
from ..record import record_of
from ..service import root_of, service_of
from ..wire import case_out
from .common import (
    INVALID,
    NOT_FOUND,
    PICTURE,
    CaseId,
    QueryId,
    Side,
    api_router,
    jpeg_response,
    remembered,
)

router = api_router("cases", reader)


@router.get("/cases", responses=INVALID)
async def cases(request: Request, asked: Annotated[CaseQuery, Query()]) -> CasePage:
    """Cases that meet the filters, page by page; one that comes or goes meanwhile moves none."""
    service = service_of(request)

    def work() -> tuple[Case, ...]:
        retriever = service.retriever
        return retriever.catalog.page(
            retriever.checkpoint.digest, asked.case_filter(), after=asked.after, limit=asked.limit
        )

    found, root = await service.work(work), root_of(request)
    record_of(request).shown = tuple(case.case_id for case in found)
    following = None
    if len(found) == asked.limit:
        more = request.url.remove_query_params("after").include_query_params(after=found[-1].id)
        following = f"{root}/cases?{more.query}"
    return CasePage(cases=[case_out(case, root) for case in found], next=following)


@router.get("/findings")
async def findings(request: Request) -> FindingList:
    """Findings that a case has or that the network knows: what filters may name."""
    retriever = service_of(request).retriever
    counted = await service_of(request).work(retriever.catalog.finding_counts)
    predicted = retriever.checkpoint.card.findings
    names = sorted({*counted, *predicted}, key=str.lower)
    return FindingList(
        findings=[
            FindingOut(finding=name, cases=counted.get(name, 0), predicted=name in predicted)
            for name in names
        ]
    )


@router.get("/cases/{case_id}", responses=NOT_FOUND | INVALID)
async def case(request: Request, case_id: CaseId) -> CaseOut:
    """A past case."""
    service = service_of(request)
    found = await service.work(lambda: service.retriever.indexed(case_id))
    return case_out(found, root_of(request))


@router.get("/cases/{case_id}/image", response_class=Response, responses=PICTURE)
async def case_image(request: Request, case_id: CaseId, side: Side = 1024) -> Response:
    """A past case's image, as a display copy."""
    service = service_of(request)

    def work() -> bytes:
        found = service.retriever.indexed(case_id)
        return render.case_image(service.retriever, found, side)

    return jpeg_response(await service.work(work))


@router.get("/cases/{case_id}/overlay", response_class=Response, responses=PICTURE)
async def case_overlay(
    request: Request,
    case_id: CaseId,
    finding: Annotated[
        str, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
    ],
    side: Side = 512,
) -> Response:
    """A past case with its Grad-CAM; without a map below the finding's threshold."""
    service = service_of(request)

    def work() -> bytes:
        found = service.retriever.indexed(case_id)
        return render.case_overlay(service.retriever, found, finding, side)

    return jpeg_response(await service.work(work))


@router.get(
    "/cases/{case_id}/evidence/{query_id}",
    response_class=Response,
    responses=PICTURE,
)
async def case_evidence(
    request: Request, case_id: CaseId, query_id: QueryId, side: Side = 512
) -> Response:
    """A past case: which places make it similar to the image that was sent."""
    service = service_of(request)
    answer = remembered(request, query_id)

    def work() -> bytes:
        found = service.retriever.indexed(case_id)
        return render.case_evidence(service.retriever, answer, found, side)

    return jpeg_response(await service.work(work))
