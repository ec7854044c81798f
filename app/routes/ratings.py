"""Ratings: lists to be rated blind, what readers say of them, and how the search agrees."""

import csv
import hashlib
import io
from collections import Counter
from typing import Annotated

from fastapi import Path, Query, Request, Response, status

from xemplar.answer import Answer
from xemplar.catalog.ratings import Ratings
from xemplar.errors import InvalidArgument
from xemplar.ratings import COLUMNS
from xemplar.schemas import (
    Agreement,
    BlindCase,
    BlindList,
    CaseRankingQuestion,
    CaseRating,
    RankingQuestion,
    Rater,
    RatingList,
)
from xemplar.schemas.examples import CASE_ID

from ..admission import admin, reader
from ..agreement import agreement_out
from ..record import record_of
from ..service import root_of, service_of
from .common import INVALID, NO_JSON, NOT_FOUND, CaseId, QueryId, api_router

router = api_router("ratings", reader)
export = api_router("ratings", admin)

FilmId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="`film_id` of a ranking: the case id that the film has, or would have.",
        examples=[CASE_ID],
    ),
]
RaterName = Annotated[Rater, Path()]


@router.get(
    "/queries/{query_id}/ranking",
    summary="Cases to be rated for a film that was sent",
    responses=NOT_FOUND | INVALID,
)
async def query_ranking(
    request: Request, query_id: QueryId, question: Annotated[RankingQuestion, Query()]
) -> BlindList:
    """The cases that the question finds, without scores, in a random order of this reader's own."""
    service, search = service_of(request), question.search()
    answer = service.recent.find(query_id)

    def work() -> BlindList:
        return _blind(request, service.retriever.again(answer, search), question.rater)

    return await service.work(work)


@router.get(
    "/cases/{case_id}/ranking",
    summary="Cases to be rated for a past one",
    responses=NOT_FOUND | INVALID,
)
async def case_ranking(
    request: Request, case_id: CaseId, question: Annotated[CaseRankingQuestion, Query()]
) -> BlindList:
    """The same for an indexed case."""
    service, search = service_of(request), question.search()

    def work() -> BlindList:
        answer = service.retriever.similar(case_id, search, same_patient=question.same_patient)
        service.recent.keep(answer)
        return _blind(request, answer, question.rater)

    return await service.work(work)


@router.put(
    "/ratings/{film_id}/{rater}",
    summary="Save what a reader says of a film's cases",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NOT_FOUND | INVALID,
)
async def put_ratings(
    request: Request, film_id: FilmId, rater: RaterName, said: RatingList
) -> None:
    """The whole list, in place of what this reader said of the film's cases before.

    An empty one forgets that. The service need not remember the film. Whoever may read may rate,
    under any pseudonym; the audit trail says which key did, and how many ratings it replaced.
    """
    service = service_of(request)
    ratings = {one.case_id: one.rating for one in said.ratings}
    if len(ratings) < len(said.ratings):
        (twice, _), *_ = Counter(one.case_id for one in said.ratings).most_common(1)
        raise InvalidArgument(f"case {twice} is rated twice; keep one of the two")
    before = await service.work(lambda: _ratings(request).save(film_id, rater, ratings))
    number = {"old": before, "new": len(ratings)}
    record_of(request).details = {"rater": rater, "ratings": number}


@router.get(
    "/queries/{query_id}/ratings",
    summary="How the search agrees with the readers",
    responses=NOT_FOUND | INVALID,
)
async def query_ratings(request: Request, query_id: QueryId) -> Agreement:
    """The order by similarity against the ratings of each reader of this film's cases, as nDCG.

    While the service remembers the film; send it again otherwise. Do not show this to a reader
    who has not rated yet.
    """
    service = service_of(request)
    answer = service.recent.find(query_id)

    def work() -> Agreement:
        said = _ratings(request).of(answer.film_id)
        found = agreement_out(service.retriever, answer, said, root_of(request))
        record_of(request).shown = tuple(one.case_id for one in found.cases)
        return found

    return await service.work(work)


@export.get(
    "/ratings.csv",
    summary="All ratings, as a file",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def ratings_csv(request: Request) -> Response:
    """What ``xemplar evaluate ranking --experts`` reads."""
    service = service_of(request)
    found = await service.work(lambda: _ratings(request).all())
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    rows.writerows((one.film_id, one.case_id, one.rater, one.rating) for one in found)
    return Response(
        file.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="ratings.csv"'},
    )


def _ratings(request: Request) -> Ratings:
    return Ratings(service_of(request).retriever.catalog.engine)


def _blind(request: Request, answer: Answer, rater: str) -> BlindList:
    """An answer's cases in an order that their ranks have no part in."""

    def place(case_id: str) -> bytes:
        return hashlib.sha256(f"{rater} {answer.film_id} {case_id}".encode()).digest()

    record_of(request).answered(answer)
    root = root_of(request)
    earlier = [one for one in _ratings(request).of(answer.film_id) if one.rater == rater]
    return BlindList(
        query_id=answer.query_id,
        film_id=answer.film_id,
        image_url=f"{root}/queries/{answer.query_id}/image",
        cases=[
            BlindCase(case_id=case, image_url=f"{root}/cases/{case}/image")
            for case in sorted((near.case.case_id for near in answer.neighbours), key=place)
        ],
        ratings=[CaseRating(case_id=one.case_id, rating=one.rating) for one in earlier],
    )
