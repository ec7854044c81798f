"""Routes of reader studies: the next film, the reader's answer, and all answers as a file."""

import csv
import io
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Request, Response, status

from xemplar.api import (
    NextReadingOut,
    Rater,
    ReaderStudyList,
    ReaderStudyOut,
    ReadingIn,
    ShownCase,
)
from xemplar.api.examples import STUDY_ID
from xemplar.api.reader_studies import READING_COLUMNS
from xemplar.catalog import Catalog
from xemplar.errors import NotFound
from xemplar.operations.reader_studies import NextReading, ReadingAnswer, StudyReading
from xemplar.operations.study_plan import StudyPlan
from xemplar.retrieval import render

from ..admission import admin, participant
from ..problems import described
from ..record import record_of
from ..service import BoundServices, Services, root_of
from .common import INVALID, NO_JSON, PICTURE, Side, api_router, jpeg_response

router = api_router("reader studies", participant)
export = api_router("reader studies", admin)

StudyId = Annotated[
    str,
    Path(pattern="^[0-9a-f]{16}$", description="From GET /reader-studies.", examples=[STUDY_ID]),
]
ReaderName = Annotated[Rater, Path()]
Number = Annotated[
    int, Path(ge=0, le=1_000_000, description="Number of the reading, from 0.", examples=[0])
]
NO_STUDY = described(HTTPStatus.NOT_FOUND, "No such study, or no such reader in it.")
GIVEN = described(
    HTTPStatus.CONFLICT,
    "The reading was given already, another one is next, or the pseudonym belongs to another key.",
)


@router.get("/reader-studies", summary="List the open reader studies")
async def reader_studies(services: BoundServices) -> ReaderStudyList:
    """List the open reader studies, the latest first."""
    plans = await services.light.run(services.reader_studies.plans)
    return ReaderStudyList(
        studies=[
            ReaderStudyOut(
                study_id=study_id,
                title=plan.title,
                question=plan.question,
                films=len(plan.films),
                sessions=len(plan.arms),
                washout_days=plan.washout_days,
            )
            for study_id, plan in plans.items()
        ]
    )


@router.get(
    "/reader-studies/{study_id}/readers/{rater}/next",
    summary="Get the next film of a reader",
    responses=NO_STUDY | GIVEN | INVALID,
)
async def next_reading(
    request: Request, services: BoundServices, study_id: StudyId, rater: ReaderName
) -> NextReadingOut:
    """Get the film that a reader reads next, with the cases beside it, or when the next opens.

    The same film is returned until its answer is saved, so a closed browser loses nothing.
    """
    record, studies = record_of(request), services.reader_studies

    def work() -> NextReadingOut:
        plan = studies.plan(study_id)
        following = studies.next(study_id, rater, record.key)
        if following.film is not None and following.opens_at is None:
            record.shown = (following.film.case_id, *following.cases)
        at = f"{root_of(request)}/reader-studies/{study_id}/readers/{rater}/readings"
        return _out(plan, following, services.catalog, at)

    record.subject = study_id
    return await services.light.run(work)


@router.get(
    "/reader-studies/{study_id}/readers/{rater}/readings/{number}/image",
    summary="Get the film of a reader's next reading",
    response_class=Response,
    responses=PICTURE | GIVEN,
)
async def reading_image(
    services: BoundServices,
    study_id: StudyId,
    rater: ReaderName,
    number: Number,
    request: Request,
    side: Side = 1024,
) -> Response:
    """Get the film's image, under an address that does not tell which case it is."""
    return await _image(request, services, (study_id, rater, number), 0, side)


@router.get(
    "/reader-studies/{study_id}/readers/{rater}/readings/{number}/cases/{place}/image",
    summary="Get a case beside the film of a reader's next reading",
    response_class=Response,
    responses=PICTURE | GIVEN,
)
async def reading_case_image(
    services: BoundServices,
    study_id: StudyId,
    rater: ReaderName,
    number: Number,
    place: Annotated[
        int, Path(ge=0, le=100, description="Place of the case, from 0.", examples=[0])
    ],
    request: Request,
    side: Side = 1024,
) -> Response:
    """Get the image of a case beside the film."""
    return await _image(request, services, (study_id, rater, number), 1 + place, side)


@router.put(
    "/reader-studies/{study_id}/readers/{rater}/readings/{number}",
    summary="Save a reader's answer about a film",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NO_STUDY | GIVEN | INVALID,
)
async def put_reading(
    request: Request,
    services: BoundServices,
    study_id: StudyId,
    rater: ReaderName,
    number: Number,
    said: ReadingIn,
) -> None:
    """Save the answer about a reader's next film. It cannot be changed; the same again is fine.

    The pseudonym belongs to the key that saves the first answer under it.
    """
    record = record_of(request)
    record.subject = study_id
    answer = ReadingAnswer(said.confidence, said.trust, said.seconds)
    studies = services.reader_studies
    await services.light.run(lambda: studies.save(study_id, rater, number, answer, record.key))
    record.details = {"reader": rater, "reading": number}


@export.get(
    "/reader-studies/{study_id}/readings.csv",
    summary="Export the readings of a study",
    response_class=Response,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **NO_STUDY,
        **INVALID,
    },
)
async def readings_csv(request: Request, services: BoundServices, study_id: StudyId) -> Response:
    """Export all readings of a study with their arms and the truth, for other statistics."""
    record_of(request).subject = study_id
    studies = services.reader_studies

    def work() -> str:
        return _csv(studies.plan(study_id), studies.readings(study_id))

    return Response(
        await services.light.run(work),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="readings.csv"'},
    )


async def _image(
    request: Request,
    services: Services,
    reading: tuple[str, str, int],
    place: int,
    side: int,
) -> Response:
    """Draw the film of a reader's next reading, at place 0, or one of the cases beside it."""
    study_id, rater, number = reading
    record, retriever = record_of(request), services.retriever

    def work() -> bytes:
        shown = services.reader_studies.shown(study_id, rater, number, record.key)
        if place >= len(shown):
            raise NotFound(f"{len(shown) - 1} cases are beside this film, and none at {place - 1}")
        record.shown = (shown[place],)
        return render.case_image(retriever.media, retriever.indexed(shown[place]), side)

    return jpeg_response(await services.light.run(work))


def _out(plan: StudyPlan, following: NextReading, catalog: Catalog, at: str) -> NextReadingOut:
    """Describe what is next.

    Args:
        plan: of the study.
        following: what is next.
        catalog: of the cases.
        at: address of the reader's readings.
    """
    open_now = following.film is not None and following.opens_at is None
    shown = [catalog.case(case_id) for case_id in following.cases] if open_now else []
    return NextReadingOut(
        question=plan.question,
        total=following.total,
        number=following.number,
        session=following.session,
        opens_at=following.opens_at,
        image_url=f"{at}/{following.number}/image" if open_now else None,
        cases=[
            ShownCase(
                image_url=f"{at}/{following.number}/cases/{place}/image",
                findings=list(case.findings),
            )
            for place, case in enumerate(shown)
        ],
        ask_trust=plan.ask_trust and bool(shown),
    )


def _csv(plan: StudyPlan, readings: Sequence[StudyReading]) -> str:
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(READING_COLUMNS)
    order = {name: plan.readings_of(name) for name in plan.sessions}
    for one in readings:
        session, film, arm = order[one.reader][one.number]
        said = one.said
        rows.writerow(
            [
                plan.study_id,
                one.reader,
                one.number,
                session,
                arm.name,
                film.case_id,
                int(film.present),
                said.confidence,
                "" if said.trust is None else said.trust,
                said.seconds,
                one.read_at.isoformat(),
            ]
        )
    return file.getvalue()
