"""Shared by several routes: parameters, image responses, and descriptions of errors."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from xemplar.api import QueryParameters
from xemplar.api.examples import CASE_ID, QUERY_ID
from xemplar.retrieval.result import Answer, ExplainedQuery

from ..admission import DENIED
from ..content_type import BodyRoute
from ..problems import described
from ..record import record_of
from ..service import Services

Responses = dict[int | str, dict[str, Any]]

BAD_REQUEST = described(HTTPStatus.BAD_REQUEST, "The image cannot be read.")
OTHER_KIND = described(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A file of another kind, or a body of another type."
)
NOT_FOUND = described(HTTPStatus.NOT_FOUND, "No such case or query.")
TOO_LARGE = described(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body or its image is too large.")
TOO_SLOW = described(HTTPStatus.REQUEST_TIMEOUT, "The body stalled or arrived too slowly.")
NO_JSON = (
    described(HTTPStatus.BAD_REQUEST, "The body is not text, and so not JSON.")
    | described(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is compressed, or of another type.")
    | TOO_LARGE
    | TOO_SLOW
)
INVALID = described(
    HTTPStatus.UNPROCESSABLE_ENTITY, "Not a radiograph, or a value outside its range."
)
PICTURE: Responses = {
    200: {
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A JPEG image.",
    },
    **NOT_FOUND,
    **INVALID,
}

QueryId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="From the answer to POST /query or GET /cases/{case_id}/similar.",
        examples=[QUERY_ID],
    ),
]
CaseId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="As GET /cases lists it.",
        examples=[CASE_ID],
    ),
]
Finding = Annotated[
    str | None, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
]
Side = Annotated[int, Query(ge=64, le=1024, description="Longest side in pixels.")]


async def remembered(request: Request, services: Services, query_id: str) -> ExplainedQuery:
    """Find a query that belongs to the caller, or that was shared.

    Raises:
        NotFound: there is none, or it was forgotten.
        StorageError: it is not in memory, and the database does not answer.
    """
    queries, key = services.queries, record_of(request).key
    known = queries.recall(query_id, key)
    if known is not None:
        return known
    retriever = services.retriever
    return await services.light.run(lambda: queries.find(query_id, key, retriever))


async def others_of(
    request: Request, services: Services, search: QueryParameters
) -> list[ExplainedQuery]:
    """Find the remembered queries whose images belong to the question of a search.

    Raises:
        NotFound, StorageError: as `remembered`, for one of them.
    """
    named = dict.fromkeys(search.with_query)
    return [await remembered(request, services, query_id) for query_id in named]


def remember(request: Request, services: Services, answer: Answer) -> None:
    """Remember an answer, as the caller's."""
    services.queries.keep(answer, record_of(request).key)


def jpeg_response(picture: bytes) -> Response:
    """Return a JPEG response, given its bytes."""
    return Response(picture, media_type="image/jpeg")


def api_router(tag: str, admission: Any = None) -> APIRouter:
    """Make a router for the routes of one subject, as OpenAPI groups them.

    Args:
        tag: the subject.
        admission: `reader`, `writer` or `admin`, required by all its routes; each route checks it
            before it reads a body.
    """
    return APIRouter(
        route_class=BodyRoute,
        generate_unique_id_function=operation_id,
        tags=[tag],
        dependencies=[admission] if admission else [],
        responses=DENIED if admission else {},
    )


def operation_id(route: Any) -> str:
    """Return the name of the route's function, which names the method of a generated client."""
    return str(route.name)
