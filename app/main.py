"""Builds the service: everything is loaded and warmed up before the first request is taken."""

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio
import numpy as np
from anyio import to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from PIL import Image

from app.limits import BodyLimit, UploadLimit
from app.problems import add_problem_handlers, add_problem_schema
from app.recent import RecentAnswers
from app.routes import router
from app.schemas import NOTICE
from app.service import Service
from app.settings import Settings, read_settings
from xemplar import __version__
from xemplar.checkpoint import load
from xemplar.encoder import open_encoder
from xemplar.errors import ArtefactError, NotFound
from xemplar.index import current
from xemplar.radiograph import Limits
from xemplar.retriever import Retriever
from xemplar.store import Store

FOLLOW_SECONDS = 1.0
"""Between two looks at which generation is live: one small file is read."""

LOG = logging.getLogger("xemplar")


class State(TypedDict):
    """What requests find in ``request.state``."""

    service: Service


def open_retriever(settings: Settings) -> Retriever:
    """Load checkpoint, index and catalog, and check that they fit together.

    Raises:
        ConfigurationError, ArtefactError: with the mend in the message.
    """
    encoder = open_encoder(
        load(settings.checkpoint), settings.runtime, settings.precision, settings.threads
    )
    limits = Limits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
    return Retriever.open(encoder, Store(settings.store), settings.database_url, limits)


def create_app(settings: Settings | None = None, retriever: Retriever | None = None) -> FastAPI:
    """The service.

    Args:
        settings: None to read the environment.
        retriever: None to open what the settings name, when the service starts. It is closed when
            the service stops.
    """
    settings = settings or read_settings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        opened = retriever or open_retriever(settings)
        try:
            warm_up(opened)
            recent = RecentAnswers(settings.recent_queries)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, opened, Store(settings.store))
                yield {"service": Service(opened, recent, settings.concurrent_queries)}
                tasks.cancel_scope.cancel()
        finally:
            opened.close()

    app: FastAPI = FastAPIOffline(
        redoc_url=None,  # it would load its maker's logo from the internet
        title="xemplar",
        version=__version__,
        summary="Past chest X-rays similar to a new one, and why.",
        description=NOTICE,
        lifespan=lifespan,
        static_url="/static-docs",
        swagger_ui_parameters={"validatorUrl": None},  # nor is anything sent to a validator
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(UploadLimit, at_once=settings.films_at_once)  # the last one is asked first
    add_problem_handlers(app)
    app.include_router(router)
    add_problem_schema(app)
    return app


async def follow(retriever: Retriever, store: Store) -> None:
    """Take over each generation that is published, without a request that waits or fails.

    One that cannot be used is told once, and the old one goes on answering. It is not opened
    again, as that reads all its files, until another one is published.
    """
    told = refused = ""
    while True:
        await anyio.sleep(FOLLOW_SECONDS)
        live = ""
        try:
            live = await to_thread.run_sync(current, store)
            if live in (retriever.generation.name, refused):
                continue
            await to_thread.run_sync(retriever.refresh, store)
            LOG.warning("generation %s answers from now on", retriever.generation.name)
        except (ArtefactError, NotFound, OSError) as error:
            if isinstance(error, ArtefactError):
                refused = live
            if str(error) != told:
                told = str(error)
                LOG.warning("generation %s goes on answering: %s", retriever.generation.name, error)


def warm_up(retriever: Retriever) -> None:
    """Answer one query from end to end, so that no user waits for what is made on first use."""
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    retriever.pictures(retriever.ask(file.getvalue()))
