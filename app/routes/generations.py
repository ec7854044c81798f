"""Generations of the index: which there are, and which one answers."""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Request

from xemplar.api import GenerationList, GenerationOut
from xemplar.api.examples import GENERATION
from xemplar.catalog import Generations
from xemplar.errors import ArtefactError, ConfigurationError, InvalidArgument
from xemplar.index import DamagedGeneration, Manifest, current, generations
from xemplar.retrieval.retriever import Retriever

from ..admission import admin
from ..problems import described
from ..record import record_of
from ..service import service_of
from .common import INVALID, api_router

router = api_router("administration", admin)

Name = Annotated[
    str,
    Path(
        pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$",
        description="As GET /generations lists it.",
        examples=[GENERATION],
    ),
]

NO_GENERATION = described(HTTPStatus.NOT_FOUND, "No such generation.")

LOG = logging.getLogger("xemplar")


@router.get("/generations")
async def index_generations(request: Request) -> GenerationList:
    """All generations that the store keeps, and which one answers."""
    service = service_of(request)
    return await service.work(lambda: _all(service.retriever))


@router.post(
    "/generations/{name}/publish",
    summary="Answer with another index",
    responses=NO_GENERATION | INVALID,
)
async def publish_generation(request: Request, name: Name) -> GenerationOut:
    """Naming an older generation is the rollback. All services of the store follow within seconds.

    One whose files are damaged, or whose checkpoint is not there, is refused, and nothing changes.
    """
    service = service_of(request)
    record_of(request).subject = name

    def work() -> GenerationOut:
        try:
            service.retriever.publish(name)
        except (ArtefactError, ConfigurationError) as error:
            LOG.warning("generation %s is not published: %s", name, error)
            raise InvalidArgument(
                f"generation {name} could not answer, and was not published: a file of it is "
                "damaged, its checkpoint is not there, or the catalog lacks its cases; the log "
                "says which"
            ) from error
        return next(one for one in _all(service.retriever).generations if one.name == name)

    return await service.work(work)


def _all(retriever: Retriever) -> GenerationList:
    answering, live = retriever.generation.name, ""
    with suppress(ArtefactError):  # the live one is not there: here another one is looked for
        live = current(retriever.store)
    published = {one.name: one.published_at for one in Generations(retriever.catalog.engine).all()}
    found, damaged = [], []
    for one in reversed(generations(retriever.store)):
        if isinstance(one, DamagedGeneration):
            _note(one)
            damaged.append(one.name)
        else:
            found.append(_out(one, published.get(one.name), live, answering))
    return GenerationList(generations=found, damaged=damaged)


@lru_cache
def _note(damaged: DamagedGeneration) -> None:
    """Once in the log: the page asks every few seconds."""
    LOG.warning("generation %s is damaged: %s", damaged.name, damaged.fault)


def _out(one: Manifest, published_at: datetime | None, live: str, answering: str) -> GenerationOut:
    return GenerationOut(
        name=one.name,
        created_at=datetime.fromisoformat(one.created).astimezone(UTC),
        published_at=published_at,
        cases=one.count,
        checkpoint=one.checkpoint,
        factory=one.factory,
        recall_at_10=one.recall_at_10,
        calibrated=one.calibration is not None,
        live=one.name == live,
        answers=one.name == answering,
    )
