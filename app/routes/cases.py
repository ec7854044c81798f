"""Routes of past cases and their images."""

import logging
from typing import Annotated

from fastapi import Query, Request, Response

from xemplar.api import (
    CaseDetailOut,
    CaseListParameters,
    CasePage,
    FindingList,
    FindingOut,
    TimelineOut,
)
from xemplar.catalog import Case
from xemplar.errors import Mismatch
from xemplar.retrieval import render
from xemplar.retrieval.timeline import Timeline, timeline

from ..admission import reader
from ..record import record_of
from ..service import BoundServices, Services, root_of
from ..wire import case_detail_out, case_out, timeline_out
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

LOG = logging.getLogger("xemplar")

router = api_router("cases", reader)


@router.get("/cases", responses=INVALID)
async def cases(
    request: Request, services: BoundServices, asked: Annotated[CaseListParameters, Query()]
) -> CasePage:
    """List the cases that match the filters, in pages; additions and removals shift none."""

    def work() -> tuple[Case, ...]:
        digest = services.retriever.checkpoint.digest
        return services.catalog.page(digest, asked, after=asked.after, limit=asked.limit)

    found, root = await services.light.run(work), root_of(request)
    record_of(request).shown = tuple(case.case_id for case in found)
    following = None
    if len(found) == asked.limit:
        more = request.url.remove_query_params("after").include_query_params(after=found[-1].id)
        following = f"{root}/cases?{more.query}"
    return CasePage(cases=[case_out(case, root) for case in found], next=following)


@router.get("/findings")
async def findings(services: BoundServices) -> FindingList:
    """List the findings that filters may name: those of a case, or predicted by the network."""
    counted = await services.light.run(services.catalog.finding_counts)
    predicted = services.retriever.checkpoint.card.findings
    names = sorted({*counted, *predicted}, key=str.lower)
    return FindingList(
        findings=[
            FindingOut(finding=name, cases=counted.get(name, 0), predicted=name in predicted)
            for name in names
        ]
    )


@router.get("/cases/{case_id}", responses=NOT_FOUND | INVALID)
async def case(request: Request, services: BoundServices, case_id: CaseId) -> CaseDetailOut:
    """Get a past case."""

    def work() -> CaseDetailOut:
        found = services.retriever.indexed(case_id)
        report = services.catalog.reports.of([found.id]).get(found.id)
        return case_detail_out(found, root_of(request), _viewer_url(services, case_id), report)

    return await services.light.run(work)


@router.get("/cases/{case_id}/timeline", responses=NOT_FOUND | INVALID)
async def case_timeline(request: Request, services: BoundServices, case_id: CaseId) -> TimelineOut:
    """Get the films of a case's patient in the order in which they were taken."""
    retriever = services.retriever

    def work() -> Timeline:
        return timeline(retriever.catalog.case(case_id), retriever.live, retriever.catalog)

    found = await services.light.run(work)
    record_of(request).shown = tuple(film.case.case_id for film in found.films)
    return timeline_out(case_id, found, root_of(request))


def _viewer_url(services: Services, case_id: str) -> str | None:
    """Return the address of a case's study; None if it has none that can be read."""
    references = services.references
    sealed = references and services.catalog.reference(case_id)
    if not references or not references.viewer_url or not sealed:
        return None
    try:
        return references.link(case_id, sealed)
    except Mismatch as error:
        LOG.warning("the study of case %s is not told: %s", case_id, error)
        return None


@router.get("/cases/{case_id}/image", response_class=Response, responses=PICTURE)
async def case_image(services: BoundServices, case_id: CaseId, side: Side = 1024) -> Response:
    """Get the display copy of a past case's image."""
    retriever = services.retriever

    def work() -> bytes:
        return render.case_image(retriever.media, retriever.indexed(case_id), side)

    return jpeg_response(await services.light.run(work))


@router.get("/cases/{case_id}/overlay", response_class=Response, responses=PICTURE)
async def case_overlay(
    services: BoundServices,
    case_id: CaseId,
    finding: Annotated[
        str, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
    ],
    side: Side = 512,
) -> Response:
    """Get a past case with its Grad-CAM; without a map unless the finding is called."""
    retriever = services.retriever

    def work() -> bytes:
        found = retriever.indexed(case_id)
        return render.case_overlay(retriever.live, retriever.media, found, finding, side)

    return jpeg_response(await services.light.run(work))


@router.get(
    "/cases/{case_id}/evidence/{query_id}",
    response_class=Response,
    responses=PICTURE,
)
async def case_evidence(
    request: Request,
    services: BoundServices,
    case_id: CaseId,
    query_id: QueryId,
    side: Side = 512,
) -> Response:
    """Get a past case with the spatial locations that make it similar to the query image."""
    retriever, answer = services.retriever, await remembered(request, services, query_id)

    def work() -> bytes:
        found = retriever.indexed(case_id)
        return render.case_evidence(retriever.live, retriever.media, answer, found, side)

    return jpeg_response(await services.light.run(work))
