"""Builds the ASGI application, with its middleware, routes and background tasks."""

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
from xemplar.operations.audit import Audit
from xemplar.operations.keys import Keys
from xemplar.operations.queries import Queries
from xemplar.operations.rates import Rates
from xemplar.operations.saved_queries import SavedQueries
from xemplar.retrieval.retriever import Retriever

from .audit import DAY_SECONDS, AuditTrail, forget
from .body import OVERHEAD, BodyLimit
from .daily import CATCH_UP_SECONDS, DailyCases
from .following import (
    AGAIN_SECONDS,
    FIT_SECONDS,
    FOLLOW_SECONDS,
    PICTURES_SECONDS,
    REMOVALS_SECONDS,
    Following,
)
from .gathering import READS_SECONDS, REFUSALS_SECONDS, Gathering
from .headers import SecurityHeaders
from .limits import ConcurrencyLimit
from .logs import RequestLog
from .metrics import Metrics
from .middleware import HeadAsGet, PathPrefix
from .opening import Opener, log_failure
from .problems import METHODS, add_problem_handlers, add_problem_schema
from .recent import RecentErrors
from .remembered import MAINTAIN_SECONDS, RememberedQueries
from .routes import ROUTES
from .routes.docs import STATIC
from .routes.page import FOLDER, PageFiles
from .security import USES_SECONDS, Guard, KeyRing
from .service import Opening
from .settings import ServiceSettings, read_settings
from .tasks import Tasks

WRITES_SECONDS = 5.0

HOUR_SECONDS = 3600.0

IDLE_SECONDS = 10.0
"""Interval at which buckets of idle callers are deleted."""

CONNECTIONS = 30
"""To the database at most: queries, batches, keys and audit share one engine."""


class State(TypedDict):
    """Contents of ``request.state``, in addition to `Record` and `Body` of each request."""

    opening: Opening
    guard: Guard
    metrics: Metrics
    concurrency: ConcurrencyLimit
    tasks: Tasks


def create_app(
    settings: ServiceSettings | None = None,
    retriever: Retriever | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    on_ready: Callable[[Retriever], None] = lambda _: None,
) -> FastAPI:
    """Build the service.

    Args:
        settings: None to read the environment.
        retriever: answers queries from the first request on; closed when the service stops. None
            to open the files that the settings name while the service already runs.
        on_failure: called with the reason if the service cannot be opened, and so will never be
            ready; None to log it.
        on_ready: called once with the opened retriever, as soon as queries are answered.
    """
    settings = settings or read_settings()
    engine = connect(settings.catalog_url, connections=CONNECTIONS)
    ring = KeyRing(Keys(engine), settings.archive)
    audit, metrics = Audit(engine), Metrics(engine)
    daily = DailyCases(settings.cases_per_day_alarm, settings.cases_per_day, metrics.keys_over)
    reads, refusals = Gathering(audit, metrics), Gathering(audit, metrics)
    rates = Rates(engine) if engine.dialect.name == "postgresql" else None
    guard = Guard(ring, settings, daily, rates)
    errors = RecentErrors()
    saved = SavedQueries(engine, settings.archive)
    queries = RememberedQueries(
        Queries(engine), saved, settings.archive, settings.query_hours, settings.recent_queries
    )
    concurrency = ConcurrencyLimit(
        settings.images_at_once, settings.batches_at_once, metrics.images_inside
    )
    background = Tasks()
    opener = Opener(
        settings=settings,
        engine=engine,
        guard=guard,
        audit=audit,
        gatherings=(reads, refusals),
        errors=errors,
        queries=queries,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        opening = Opening()
        if retriever is not None:
            await opener.open(opening, retriever)
        async with anyio.create_task_group() as tasks:
            if retriever is None:
                failed = on_failure or log_failure
                tasks.start_soon(opener.open_in_background, opening, failed, on_ready)
            following = Following(opening, settings.archive, metrics, settings.purge_hours)
            for repeated in (
                ("generations", following.follow, FOLLOW_SECONDS),
                ("input validator", following.fit_validator, FIT_SECONDS, AGAIN_SECONDS),
                ("filters", following.read_filters, FIT_SECONDS, AGAIN_SECONDS),
                ("pictures", following.delete_pictures, PICTURES_SECONDS),
                ("removals", following.queue_purge, REMOVALS_SECONDS),
                ("uses of keys", ring.write_uses, USES_SECONDS),
                ("writes", partial(check_writes, engine, settings.archive), WRITES_SECONDS),
                ("reads", reads.write, READS_SECONDS),
                ("refusals", refusals.write, REFUSALS_SECONDS),
                ("daily", partial(daily.catch_up, audit), CATCH_UP_SECONDS),
                ("queries", partial(to_thread.run_sync, queries.maintain), MAINTAIN_SECONDS),
            ):
                tasks.start_soon(background.repeat, *repeated)
            if rates is not None:
                idle = partial(to_thread.run_sync, rates.forget)
                tasks.start_soon(background.repeat, "rates", idle, IDLE_SECONDS)
            outdated = partial(to_thread.run_sync, saved.forget, settings.saved_days)
            tasks.start_soon(
                background.repeat, "saved queries", outdated, HOUR_SECONDS, AGAIN_SECONDS
            )
            if settings.audit_days:
                shorten = partial(forget, audit, settings.audit_days)
                tasks.start_soon(
                    background.repeat, "retention", shorten, DAY_SECONDS, AGAIN_SECONDS
                )
            try:
                yield {
                    "opening": opening,
                    "guard": guard,
                    "metrics": metrics,
                    "concurrency": concurrency,
                    "tasks": background,
                }
            finally:
                tasks.cancel_scope.cancel()
        with suppress(StorageError):  # last uses are only accurate to a minute anyway
            await ring.write_uses()
        for gathering in (reads, refusals):
            await gathering.close()
        await queries.close()
        opening.closing.close()
        engine.dispose()

    app: FastAPI = FastAPIOffline(
        docs_url=None,  # `routes.docs` serves one with examples from the store
        redoc_url=None,  # it would load a logo from the internet
        title="xemplar",
        version=__version__,
        summary="Past chest X-rays similar to a new one, and why.",
        description=NOTICE,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": settings.root_path or "/"}],
        lifespan=lifespan,
        static_url=STATIC,
    )
    # the middleware that is added last runs first
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
    app.router.routes.extend(ROUTES)
    app.mount("/page", PageFiles(directory=FOLDER))
    add_problem_schema(app)
    check_prefix(app, settings.root_path)
    return app


def check_prefix(app: FastAPI, prefix: str) -> None:
    """Refuse a proxy's path prefix that is also a path of the service: it would be ambiguous.

    Raises:
        ConfigurationError: the prefix is one of the service's own paths.
    """
    paths = [*app.openapi()["paths"], "/docs", "/page", STATIC] if prefix else []
    if any(path.split("/")[1] == prefix.split("/")[1] for path in paths):
        raise ConfigurationError(
            f"XEMPLAR_ROOT_PATH is {prefix!r}, where the service has addresses of its own; take "
            "another one, as /xemplar"
        )


async def check_writes(engine: Engine, store: Store) -> None:
    """Check that store and database accept changes.

    Raises:
        StorageError: they do not, and why.
    """
    await to_thread.run_sync(check_room, store.root)
    await to_thread.run_sync(check_writable, engine)
