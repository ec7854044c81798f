"""Routes of readers' ratings: blind lists of cases, ratings, and agreement with the search."""

import csv
import hashlib
import io
from collections import Counter
from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Query, Request, Response, status

from xemplar.api import (
    Agreement,
    BlindCase,
    BlindList,
    CaseRankingParameters,
    CaseRating,
    RankingParameters,
    Rater,
    RaterList,
    RaterOut,
    RaterOwner,
    RatingList,
)
from xemplar.api.examples import CASE_ID
from xemplar.api.rating_scale import COLUMNS, HISTORY_COLUMNS
from xemplar.errors import InvalidArgument
from xemplar.operations.keys import Role
from xemplar.operations.ratings import Rating
from xemplar.retrieval.result import Answer

from ..admission import admin, reader
from ..agreement import agreement_out
from ..problems import described
from ..record import record_of
from ..service import BoundServices, Services, root_of
from .common import (
    INVALID,
    NO_JSON,
    NOT_FOUND,
    CaseId,
    QueryId,
    api_router,
    remember,
    remembered,
)

router = api_router("ratings", reader)
export = api_router("ratings", admin)

ImageId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="`image_id` of a ranking: the case id that the image has, or would have.",
        examples=[CASE_ID],
    ),
]
RaterName = Annotated[Rater, Path()]
History = Annotated[
    bool,
    Query(
        description="Include earlier ratings, with the columns rated_at and superseded_at; the "
        "latter is empty for current ratings."
    ),
]
TAKEN = described(
    HTTPStatus.CONFLICT,
    "The pseudonym belongs to another key, or this key has reached its limit of ratings.",
)
NO_KEY = described(HTTPStatus.NOT_FOUND, "No such valid key.")


@router.get(
    "/queries/{query_id}/ranking",
    summary="List cases to rate for a query",
    responses=NOT_FOUND | TAKEN | INVALID,
)
async def query_ranking(
    request: Request,
    services: BoundServices,
    query_id: QueryId,
    search: Annotated[RankingParameters, Query()],
) -> BlindList:
    """List the cases that the search finds, without scores, in a random order for this reader.

    Includes this reader's earlier ratings. A pseudonym of another key is rejected.
    """
    retriever = services.retriever
    answer = await remembered(request, services, query_id)

    def work() -> BlindList:
        return _blind(request, services, retriever.again(answer, search), search.rater)

    return await services.light.run(work)


@router.get(
    "/cases/{case_id}/ranking",
    summary="List cases to rate for a past one",
    responses=NOT_FOUND | TAKEN | INVALID,
)
async def case_ranking(
    request: Request,
    services: BoundServices,
    case_id: CaseId,
    search: Annotated[CaseRankingParameters, Query()],
) -> BlindList:
    """List the cases similar to an indexed one, to be rated like those of a query."""
    retriever = services.retriever

    def work() -> BlindList:
        answer = retriever.similar(case_id, search, same_patient=search.same_patient)
        remember(request, services, answer)
        return _blind(request, services, answer, search.rater)

    return await services.light.run(work)


@router.put(
    "/ratings/{image_id}/{rater}",
    summary="Save a reader's ratings of an image's cases",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NOT_FOUND | TAKEN | INVALID,
)
async def put_ratings(
    request: Request,
    services: BoundServices,
    image_id: ImageId,
    rater: RaterName,
    said: RatingList,
) -> None:
    """Replace this reader's ratings of the image's cases with the given list.

    An empty list withdraws them. Replaced and withdrawn ratings are kept for administrators.

    A pseudonym belongs to the first key that saves ratings under it. One key may have up to 100
    pseudonyms and 100,000 ratings, earlier ones included. The image should be of a
    remembered query or be a case; of other images, as forgotten ones, one key may rate up to 32.
    Without keys there are no such limits.
    """
    key = record_of(request).key
    ratings = {one.case_id: one.rating for one in said.ratings}
    if len(ratings) < len(said.ratings):
        (twice, _), *_ = Counter(one.case_id for one in said.ratings).most_common(1)
        raise InvalidArgument(f"case {twice} is rated twice; keep one of the two")

    def work() -> int:
        known = services.queries.has_image(image_id, key)
        return services.ratings.save(image_id, rater, ratings, key=key, image_known=known)

    before = await services.light.run(work)
    number = {"old": before, "new": len(ratings)}
    record_of(request).details = {"rater": rater, "ratings": number}


@router.get(
    "/queries/{query_id}/ratings",
    summary="Compare the search with the readers' ratings",
    responses=NOT_FOUND | INVALID,
)
async def query_ratings(request: Request, services: BoundServices, query_id: QueryId) -> Agreement:
    """Compute the nDCG of the order by similarity against each reader's ratings for this image.

    Available while the query is remembered; send the image again otherwise. A reader sees others'
    ratings only of cases that the same key has rated for this image; an administrator sees all.
    """
    record, answer = record_of(request), await remembered(request, services, query_id)
    blinded = None if record.role is Role.ADMIN else record.key

    def work() -> Agreement:
        said = services.ratings.of(answer.image_id, seen_by=blinded)
        found = agreement_out(services.retriever.live, answer, said, root_of(request))
        record.shown = tuple(one.case_id for one in found.cases)
        return found

    return await services.light.run(work)


@export.get(
    "/ratings.csv",
    summary="Export all ratings",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **INVALID},
)
async def ratings_csv(services: BoundServices, history: History = False) -> Response:
    """Export ratings for ``xemplar evaluate ranking --experts``; optionally with their history."""
    ratings = services.ratings
    found = await services.light.run(ratings.history if history else ratings.all)
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(HISTORY_COLUMNS if history else COLUMNS)
    rows.writerows(_row(one, history=history) for one in found)
    return Response(
        file.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="ratings.csv"'},
    )


@export.get("/raters")
async def raters(services: BoundServices) -> RaterList:
    """List all readers' pseudonyms, and the keys that they belong to."""
    found = await services.light.run(services.raters.list)
    return RaterList(raters=[RaterOut(rater=one.name, key=one.key) for one in found])


@export.put(
    "/raters/{rater}",
    summary="Assign a pseudonym to a key",
    responses=NO_JSON | NO_KEY | INVALID,
)
async def give_rater(
    request: Request, services: BoundServices, rater: RaterName, owner: RaterOwner
) -> RaterOut:
    """Assign a pseudonym and all its ratings to a key, for example to one that replaces a lost one.

    Ratings from before the service had keys belong to no key until they are assigned.
    """
    record_of(request).subject = owner.key
    await services.light.run(lambda: services.raters.assign(rater, owner.key))
    return RaterOut(rater=rater, key=owner.key)


def _row(one: Rating, *, history: bool) -> tuple[object, ...]:
    said = (one.image_id, one.case_id, one.rater, one.rating)
    if not history:
        return said
    until = one.superseded_at.isoformat() if one.superseded_at else ""
    return (*said, one.rated_at.isoformat(), until)


def _blind(request: Request, services: Services, answer: Answer, rater: str) -> BlindList:
    """List an answer's cases in an order that is independent of their ranks."""

    def position(case_id: str) -> bytes:
        return hashlib.sha256(f"{rater} {answer.image_id} {case_id}".encode()).digest()

    services.raters.check(rater, record_of(request).key)
    record_of(request).answered(answer)
    root = root_of(request)
    earlier = services.ratings.by(rater, answer.image_id)
    return BlindList(
        query_id=answer.query_id,
        image_id=answer.image_id,
        image_url=f"{root}/queries/{answer.query_id}/image",
        cases=[
            BlindCase(case_id=case, image_url=f"{root}/cases/{case}/image")
            for case in sorted((near.case.case_id for near in answer.neighbours), key=position)
        ],
        ratings=[CaseRating(case_id=one.case_id, rating=one.rating) for one in earlier],
    )
