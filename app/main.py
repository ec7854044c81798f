"""Builds the service, and opens it: its files are loaded while /healthz answers already."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypedDict

import anyio
from anyio import to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from sqlalchemy import Engine
from starlette.middleware.cors import CORSMiddleware

from xemplar import __version__
from xemplar.api import NOTICE
from xemplar.archive.storage_errors import check_room
from xemplar.archive.store import Store
from xemplar.catalog.schema import check_writable, connect
from xemplar.errors import ConfigurationError, StorageError
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.decoder_pool import DecodingPool
from xemplar.model.encoder import open_encoder
from xemplar.operations.audit import Audit
from xemplar.operations.keys import Keys
from xemplar.retrieval.ingest import delete_pictures
from xemplar.retrieval.retriever import Retriever

from .audit import DAY_SECONDS, AuditTrail, forget
from .body import OVERHEAD, BodyLimit
from .daily import CATCH_UP_SECONDS, DailyCases
from .following import (
    AGAIN_SECONDS,
    FOLLOW_SECONDS,
    LEARN_SECONDS,
    PICTURES_SECONDS,
    REMOVALS_SECONDS,
    Following,
)
from .gathering import READS_SECONDS, REFUSALS_SECONDS, Gathering
from .headers import SecurityHeaders
from .limits import Places
from .logs import RequestLog
from .metrics import Metrics
from .middleware import HeadAsGet, PathPrefix
from .problems import METHODS, add_problem_handlers, add_problem_schema
from .recent import RecentAnswers, RecentErrors
from .routes import router
from .routes.docs import STATIC
from .routes.page import FOLDER, PageFiles
from .security import USES_SECONDS, Guard, KeyRing
from .service import Opening, Service, warm_up
from .settings import Settings, read_settings
from .tasks import Tasks

WRITES_SECONDS = 5.0

LOG = logging.getLogger("xemplar")


class State(TypedDict):
    """Contents of ``request.state``, beside `Record` and `Body` of each request."""

    opening: Opening
    guard: Guard
    audit: Audit
    gatherings: tuple[Gathering, ...]
    metrics: Metrics
    errors: RecentErrors
    places: Places
    tasks: Tasks


def open_retriever(
    settings: Settings, decoder: Callable[[bytes], Radiograph] | None = None
) -> Retriever:
    """Load checkpoint, index and catalog, and check that they fit together.

    Args:
        settings: name them.
        decoder: of uploaded images; None to decode in this process, without limits of time.

    Raises:
        ConfigurationError, ArtefactError: with the mend in the message.
    """
    opener = partial(
        open_encoder,
        runtime=settings.runtime,
        precision=settings.precision,
        threads=settings.threads,
    )
    decoder = decoder or partial(decode, limits=settings.limits)
    store = Store(settings.store)
    return Retriever.open(settings.checkpoint, store, settings.database_url, decoder, opener)


def create_app(
    settings: Settings | None = None,
    retriever: Retriever | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    on_ready: Callable[[Retriever], None] = lambda _: None,
) -> FastAPI:
    """The service.

    Args:
        settings: None to read the environment.
        retriever: answers from the first request on. None to open what the settings name while
            the service already runs; it is ready when that is done. Closed when the service stops.
        on_failure: told why the service cannot be opened and never will be ready; the log is if
            None.
        on_ready: told once what is opened, as soon as queries are answered.
    """
    settings = settings or read_settings()
    engine = connect(settings.catalog_url)
    ring = KeyRing(Keys(engine), Store(settings.store))
    audit, metrics = Audit(engine), Metrics(engine)
    daily = DailyCases(settings.cases_per_day_alarm, settings.cases_per_day, metrics.keys_over)
    reads, refusals = Gathering(audit, metrics), Gathering(audit, metrics)
    guard = Guard(ring, settings, daily)
    errors = RecentErrors()
    places = Places(settings.images_at_once, settings.batches_at_once, metrics.images_inside)
    background = Tasks()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        opening = Opening()
        if retriever is not None:
            await open_service(opening, settings, guard, retriever)
        async with anyio.create_task_group() as tasks:
            if retriever is None:
                failed = on_failure or log_failure
                tasks.start_soon(open_in_background, opening, settings, guard, failed, on_ready)
            following = Following(opening, Store(settings.store), metrics, settings.purge_hours)
            for repeated in (
                ("generations", following.take_over, FOLLOW_SECONDS),
                ("input validator", following.learn, LEARN_SECONDS, AGAIN_SECONDS),
                ("pictures", following.delete_pictures, PICTURES_SECONDS),
                ("removals", following.queue_purge, REMOVALS_SECONDS),
                ("uses of keys", ring.write_uses, USES_SECONDS),
                ("writes", partial(check_writes, engine, Store(settings.store)), WRITES_SECONDS),
                ("reads", reads.write, READS_SECONDS),
                ("refusals", refusals.write, REFUSALS_SECONDS),
                ("daily", partial(daily.catch_up, audit), CATCH_UP_SECONDS),
            ):
                tasks.start_soon(background.repeat, *repeated)
            if settings.audit_days:
                shorten = partial(forget, audit, settings.audit_days)
                tasks.start_soon(
                    background.repeat, "retention", shorten, DAY_SECONDS, AGAIN_SECONDS
                )
            try:
                yield {
                    "opening": opening,
                    "guard": guard,
                    "audit": audit,
                    "gatherings": (reads, refusals),
                    "metrics": metrics,
                    "errors": errors,
                    "places": places,
                    "tasks": background,
                }
            finally:
                tasks.cancel_scope.cancel()
        with suppress(StorageError):  # it is told of to about a minute anyhow
            await ring.write_uses()
        for gathering in (reads, refusals):
            await gathering.close()
        opening.closing.close()
        engine.dispose()

    app: FastAPI = FastAPIOffline(
        docs_url=None,  # `routes.docs` has one that knows the store
        redoc_url=None,  # it would load its maker's logo from the internet
        title="xemplar",
        version=__version__,
        summary="Past chest X-rays similar to a new one, and why.",
        description=NOTICE,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": settings.root_path or "/"}],
        lifespan=lifespan,
        static_url=STATIC,
    )
    # the last one is asked first
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_upload_bytes,
        pace=settings.pace,
        max_arriving=settings.images_arriving * (settings.max_upload_bytes + OVERHEAD),
        max_of_caller=settings.bodies_of_caller,
    )
    app.add_middleware(
        AuditTrail,
        audit=audit,
        metrics=metrics,
        tasks=background,
        daily=daily,
        reads=reads,
        refusals=refusals,
    )
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=METHODS,
            allow_headers=["Authorization", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(RequestLog, metrics=metrics, errors=errors)
    app.add_middleware(SecurityHeaders, docs="/docs")
    app.add_middleware(HeadAsGet)
    app.add_middleware(PathPrefix, prefix=settings.root_path)
    add_problem_handlers(app)
    app.include_router(router)
    app.mount("/page", PageFiles(directory=FOLDER))
    add_problem_schema(app)
    check_prefix(app, settings.root_path)
    return app


def check_prefix(app: FastAPI, prefix: str) -> None:
    """Refuse a proxy's prefix that is an address of ours: a path could then be meant either way.

    Raises:
        ConfigurationError: it is.
    """
    paths = [*app.openapi()["paths"], "/docs", "/page", STATIC] if prefix else []
    if any(path.split("/")[1] == prefix.split("/")[1] for path in paths):
        raise ConfigurationError(
            f"XEMPLAR_ROOT_PATH is {prefix!r}, where the service has addresses of its own; take "
            "another one, as /xemplar"
        )


async def open_service(
    opening: Opening, settings: Settings, guard: Guard, retriever: Retriever | None = None
) -> None:
    """Open what the settings name, unless it is given, and answer a first query with it.

    Raises:
        XemplarError: with the mend in the message.
    """
    if retriever is None:
        # its workers start while the files are loaded
        limits = settings.limits, settings.decode_seconds, settings.decode_bytes
        decoder = opening.closing.enter_context(DecodingPool(settings.concurrent_queries, *limits))
        retriever = await to_thread.run_sync(open_retriever, settings, decoder)
    opening.closing.callback(retriever.close)
    await guard.check_start()
    with suppress(StorageError):  # what cannot be deleted now is tried again (`Following`)
        await to_thread.run_sync(delete_pictures, retriever.catalog, retriever.media)
    await to_thread.run_sync(warm_up, retriever)
    recent = RecentAnswers(settings.recent_queries)
    opening.service = Service(
        retriever,
        recent,
        settings.concurrent_queries,
        settings.batches_at_once,
        wait_seconds=settings.wait_seconds,
    )


async def open_in_background(
    opening: Opening,
    settings: Settings,
    guard: Guard,
    on_failure: Callable[[Exception], None],
    on_ready: Callable[[Retriever], None],
) -> None:
    """`open_service`; whoever started the service is told what came of it."""
    try:
        await open_service(opening, settings, guard)
        if opening.service is not None:
            on_ready(opening.service.retriever)
    except Exception as error:  # noqa: BLE001 -- none may leave a process that lives and never answers
        opening.reason = "the service could not be opened, and its log tells why"
        on_failure(error)


def log_failure(error: Exception) -> None:
    """Where nobody else wants to know."""
    LOG.critical("the service cannot be opened: %s: %s", type(error).__name__, error)


async def check_writes(engine: Engine, store: Store) -> None:
    """Find out whether store and database would take a change.

    Raises:
        StorageError: why they would not.
    """
    await to_thread.run_sync(check_room, store.root)
    await to_thread.run_sync(check_writable, engine)
