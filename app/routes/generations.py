"""Routes of index generations: list them, and publish one."""

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
from ..service import BoundServices
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
async def index_generations(services: BoundServices) -> GenerationList:
    """List all generations in the store, and which one is live."""
    return await services.light.run(lambda: _all(services.retriever))


@router.post(
    "/generations/{name}/publish",
    summary="Answer with another index",
    responses=NO_GENERATION | INVALID,
)
async def publish_generation(
    request: Request, services: BoundServices, name: Name
) -> GenerationOut:
    """Publish a generation; an older one to roll back. The store's services follow in seconds.

    A generation with damaged files or a missing checkpoint is rejected, and nothing changes.
    """
    record_of(request).subject = name

    def work() -> GenerationOut:
        try:
            services.retriever.publish(name)
        except (ArtefactError, ConfigurationError) as error:
            LOG.warning("generation %s is not published: %s", name, error)
            raise InvalidArgument(
                f"generation {name} could not answer, and was not published: a file of it is "
                "damaged, its checkpoint is not there, or the catalog lacks its cases; the log "
                "says which"
            ) from error
        return next(one for one in _all(services.retriever).generations if one.name == name)

    return await services.light.run(work)


def _all(retriever: Retriever) -> GenerationList:
    answering, live = retriever.generation.name, ""
    with suppress(ArtefactError):  # the live one is missing; this list helps to find another one
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
    """Log a damaged generation once: the page lists generations every few seconds."""
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
