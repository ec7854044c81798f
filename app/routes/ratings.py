"""Ratings: lists to be rated blind, what readers say of them, and how the search agrees."""

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
    CaseRankingQuestion,
    CaseRating,
    RankingQuestion,
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
from xemplar.operations.raters import Raters
from xemplar.operations.ratings import Rating, Ratings
from xemplar.retrieval.result import Answer

from ..admission import admin, reader
from ..agreement import agreement_out
from ..problems import described
from ..record import record_of
from ..service import root_of, service_of
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
        description="Earlier ratings too, with the columns rated_at and superseded_at; the latter "
        "is empty while a rating holds."
    ),
]
TAKEN = described(
    HTTPStatus.CONFLICT, "The pseudonym belongs to another key, or this one has saved enough."
)
NO_KEY = described(HTTPStatus.NOT_FOUND, "No such key that is good.")


@router.get(
    "/queries/{query_id}/ranking",
    summary="Cases to be rated for an image that was sent",
    responses=NOT_FOUND | TAKEN | INVALID,
)
async def query_ranking(
    request: Request, query_id: QueryId, question: Annotated[RankingQuestion, Query()]
) -> BlindList:
    """The cases that the question finds, without scores, in a random order of this reader's own.

    With what this reader has said of them before; under another key's pseudonym there is no list.
    """
    service, search = service_of(request), question.search()
    answer = remembered(request, query_id)

    def work() -> BlindList:
        return _blind(request, service.retriever.again(answer, search), question.rater)

    return await service.work(work)


@router.get(
    "/cases/{case_id}/ranking",
    summary="Cases to be rated for a past one",
    responses=NOT_FOUND | TAKEN | INVALID,
)
async def case_ranking(
    request: Request, case_id: CaseId, question: Annotated[CaseRankingQuestion, Query()]
) -> BlindList:
    """The same for an indexed case."""
    service, search = service_of(request), question.search()

    def work() -> BlindList:
        answer = service.retriever.similar(case_id, search, same_patient=question.same_patient)
        remember(request, answer)
        return _blind(request, answer, question.rater)

    return await service.work(work)


@router.put(
    "/ratings/{image_id}/{rater}",
    summary="Save what a reader says of an image's cases",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NOT_FOUND | TAKEN | INVALID,
)
async def put_ratings(
    request: Request, image_id: ImageId, rater: RaterName, said: RatingList
) -> None:
    """The whole list, in place of what this reader said of the image's cases before.

    An empty one takes that back. What is changed or taken back is kept for administrators.

    A pseudonym belongs to the first key that saves ratings under it. One key takes up to 100, and
    has up to 100,000 ratings, earlier ones too. The image is one that the service remembers or that
    is a case; of others, as after a restart, one key rates up to 32. Without keys there is no such
    limit.
    """
    service, key = service_of(request), record_of(request).key
    ratings = {one.case_id: one.rating for one in said.ratings}
    if len(ratings) < len(said.ratings):
        (twice, _), *_ = Counter(one.case_id for one in said.ratings).most_common(1)
        raise InvalidArgument(f"case {twice} is rated twice; keep one of the two")
    known = service.recent.has_image(image_id, key)
    before = await service.work(
        lambda: _ratings(request).save(image_id, rater, ratings, key=key, image_known=known)
    )
    number = {"old": before, "new": len(ratings)}
    record_of(request).details = {"rater": rater, "ratings": number}


@router.get(
    "/queries/{query_id}/ratings",
    summary="How the search agrees with the readers",
    responses=NOT_FOUND | INVALID,
)
async def query_ratings(request: Request, query_id: QueryId) -> Agreement:
    """The order by similarity against the ratings of each reader of this image's cases, as nDCG.

    While the service remembers the image; send it again otherwise. Of others' ratings a reader is
    shown those of cases that the same key has rated for this image; an administrator is shown all.
    """
    service, record = service_of(request), record_of(request)
    answer = remembered(request, query_id)
    blinded = None if record.role is Role.ADMIN else record.key

    def work() -> Agreement:
        said = _ratings(request).of(answer.image_id, seen_by=blinded)
        found = agreement_out(service.retriever, answer, said, root_of(request))
        record.shown = tuple(one.case_id for one in found.cases)
        return found

    return await service.work(work)


@export.get(
    "/ratings.csv",
    summary="All ratings, as a file",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **INVALID},
)
async def ratings_csv(request: Request, history: History = False) -> Response:
    """What ``xemplar evaluate ranking --experts`` reads; with ``history`` also what was changed."""
    service, ratings = service_of(request), _ratings(request)
    found = await service.work(ratings.history if history else ratings.all)
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
async def raters(request: Request) -> RaterList:
    """All readers' pseudonyms, and the keys that they belong to."""
    found = await service_of(request).work(_raters(request).list)
    return RaterList(raters=[RaterOut(rater=one.name, key=one.key) for one in found])


@export.put(
    "/raters/{rater}",
    summary="Give a pseudonym to a key",
    responses=NO_JSON | NO_KEY | INVALID,
)
async def give_rater(request: Request, rater: RaterName, owner: RaterOwner) -> RaterOut:
    """With all ratings under it, whosever they were: as where a key replaces a lost one.

    Ratings from before there were keys belong to none until they are given so.
    """
    record_of(request).subject = owner.key
    await service_of(request).work(lambda: _raters(request).assign(rater, owner.key))
    return RaterOut(rater=rater, key=owner.key)


def _row(one: Rating, *, history: bool) -> tuple[object, ...]:
    said = (one.image_id, one.case_id, one.rater, one.rating)
    if not history:
        return said
    until = one.superseded_at.isoformat() if one.superseded_at else ""
    return (*said, one.rated_at.isoformat(), until)


def _ratings(request: Request) -> Ratings:
    catalog = service_of(request).retriever.catalog
    return Ratings(catalog.engine, catalog.access)


def _raters(request: Request) -> Raters:
    return Raters(service_of(request).retriever.catalog.engine)


def _blind(request: Request, answer: Answer, rater: str) -> BlindList:
    """An answer's cases in an order that their ranks have no part in."""

    def place(case_id: str) -> bytes:
        return hashlib.sha256(f"{rater} {answer.image_id} {case_id}".encode()).digest()

    _raters(request).check(rater, record_of(request).key)
    record_of(request).answered(answer)
    root = root_of(request)
    earlier = _ratings(request).by(rater, answer.image_id)
    return BlindList(
        query_id=answer.query_id,
        image_id=answer.image_id,
        image_url=f"{root}/queries/{answer.query_id}/image",
        cases=[
            BlindCase(case_id=case, image_url=f"{root}/cases/{case}/image")
            for case in sorted((near.case.case_id for near in answer.neighbours), key=place)
        ],
        ratings=[CaseRating(case_id=one.case_id, rating=one.rating) for one in earlier],
    )
