"""Opens the service: loads its files and warms it up, while /healthz already answers."""

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from anyio import to_thread
from PIL import Image
from sqlalchemy import Engine

from xemplar.errors import StorageError
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.decoder_pool import DecodingPool
from xemplar.imaging.overlay import jpeg, overlay
from xemplar.imaging.preprocess import preprocess
from xemplar.model.encoder import open_encoder
from xemplar.model.explain import grad_cam
from xemplar.operations.audit import Audit
from xemplar.operations.collections import Collections
from xemplar.operations.jobs import Jobs
from xemplar.operations.raters import Raters
from xemplar.operations.ratings import Ratings
from xemplar.operations.reader_studies import ReaderStudies
from xemplar.retrieval.ingest import delete_pictures
from xemplar.retrieval.references import study_references
from xemplar.retrieval.retriever import Retriever

from .gathering import Gathering
from .recent import RecentErrors
from .remembered import RememberedQueries
from .security import Guard
from .service import Opening, Services, Turns
from .settings import ServiceSettings

LOG = logging.getLogger("xemplar")


def open_retriever(
    settings: ServiceSettings,
    decoder: Callable[[bytes], Radiograph] | None = None,
    engine: Engine | None = None,
) -> Retriever:
    """Load checkpoint, index and catalog, and check that they fit together.

    Args:
        settings: name the files.
        decoder: of uploaded images; None to decode in this process, without a time limit.
        engine: of the catalog's database, shared with others; None for one of its own.

    Raises:
        ConfigurationError, ArtefactError: the message says how to fix it.
    """
    opener = partial(
        open_encoder,
        runtime=settings.runtime,
        precision=settings.precision,
        threads=settings.threads,
        streams=settings.concurrent_queries,
    )
    decoder = decoder or partial(decode, limits=settings.limits)
    database = engine if engine is not None else settings.database_url
    return Retriever.open(settings.checkpoint, settings.archive, database, decoder, opener)


@dataclass(frozen=True, kw_only=True)
class Opener:
    """Makes the `Services` from parts that exist before the files are open.

    Attributes:
        settings: of the service.
        engine: of the database of keys, audit and catalog.
        guard: admits requests.
        audit: the audit trail.
        gatherings: audit entries that are not written yet.
        errors: the latest failed requests.
        queries: those that may still be explained or repeated.
    """

    settings: ServiceSettings
    engine: Engine
    guard: Guard
    audit: Audit
    gatherings: tuple[Gathering, ...]
    errors: RecentErrors
    queries: RememberedQueries

    async def open(self, opening: Opening, retriever: Retriever | None = None) -> Services:
        """Open the files that the settings name, unless a retriever is given, and warm up.

        Args:
            opening: receives the services, and what to close when the service stops.
            retriever: answers queries; closed when the service stops.

        Raises:
            XemplarError: the message says how to fix it.
        """
        settings = self.settings
        if retriever is None:
            # its workers start while the files are loaded
            limits = settings.limits, settings.decode_seconds, settings.decode_bytes
            pool = DecodingPool(settings.concurrent_queries, *limits)
            decoder = opening.closing.enter_context(pool)
            retriever = await to_thread.run_sync(open_retriever, settings, decoder, self.engine)
        opening.closing.callback(retriever.close)
        await self.guard.check_start()
        with suppress(StorageError):  # `Following` tries again what cannot be deleted now
            await to_thread.run_sync(delete_pictures, retriever.catalog, retriever.media)
        await to_thread.run_sync(warm_up, retriever)
        opening.services = self._services(retriever)
        return opening.services

    async def open_in_background(
        self,
        opening: Opening,
        on_failure: Callable[[Exception], None],
        on_ready: Callable[[Retriever], None],
    ) -> None:
        """Open the services, and report success or failure to whoever started the service."""
        try:
            on_ready((await self.open(opening)).retriever)
        except Exception as error:  # noqa: BLE001 -- none may leave a process that never answers
            opening.reason = "the service could not be opened, and its log tells why"
            on_failure(error)

    def _services(self, retriever: Retriever) -> Services:
        settings, database = self.settings, retriever.catalog.engine
        queries = partial(Turns, settings.concurrent_queries, settings.wait_seconds)
        return Services(
            retriever=retriever,
            ratings=Ratings(database, retriever.catalog.access),
            raters=Raters(database),
            reader_studies=ReaderStudies(database, retriever.catalog.access),
            jobs=Jobs(database),
            keys=self.guard.ring.keys,
            audit=self.audit,
            gatherings=self.gatherings,
            queries=self.queries,
            references=study_references(
                retriever.store, settings.viewer_url, days=settings.study_days
            ),
            takes_reports=settings.reports,
            collections=Collections(self.engine, retriever.store, settings.saved_days),
            errors=self.errors,
            light=queries(),
            images=queries(),
            batches=Turns(settings.batches_at_once, settings.wait_seconds),
        )


def warm_up(retriever: Retriever) -> None:
    """Run each stage of a query once, so that no user waits for initialisation on first use.

    The image is noise, which the input validator would reject, so that is left out.
    """
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG", compress_level=0)
    live = retriever.live
    inputs = preprocess(retriever.decode(file.getvalue()), live.checkpoint.card.spec)
    features = live.encoder.encode(inputs[None])
    live.generation.search(features.embedding[0], 5)
    cam = grad_cam(features.maps, live.checkpoint.weights["classifier.weight"])[0, 0]
    jpeg(overlay(noise, cam, live.checkpoint.card.spec))


def log_failure(error: Exception) -> None:
    """Log why the service cannot be opened."""
    LOG.critical("the service cannot be opened: %s: %s", type(error).__name__, error)
