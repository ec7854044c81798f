"""``xemplar dicom listen``."""

import os
from typing import Any

import typer

from xemplar.cli.environment import limit_threads
from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    IndexUrlOption,
    StoreOption,
    StudyDaysOption,
    ViewerUrlOption,
)

from ..settings import NodeSettings, read_settings

DECODE_SECONDS = 20
"""Processor time for decoding the largest image."""


@options_from(NodeSettings, panel="Node (XEMPLAR_PACS_*)")
def listen(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    viewer_url: ViewerUrlOption = "",
    study_days: StudyDaysOption = False,
    *,
    options: dict[str, Any],
) -> None:
    """Receive radiographs from a PACS by C-STORE; send similar past cases back into their studies.

    Every option of the node is also an environment variable, XEMPLAR_PACS_PORT for --port.
    Research use, not for diagnosis.

    Examples:
        xemplar dicom listen --archive dicom://ORTHANC@10.1.2.3:4242 --peers ORTHANC@10.1.2.3

        xemplar dicom listen --do index --source ward
    """
    limit_threads(os.environ)  # before the first import of numpy
    import logging
    from contextlib import ExitStack

    try:
        from .node import running, signals
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"the DICOM node needs {error.name}: pip install 'xemplar[pacs]'"
        ) from error
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.imaging.decoder_pool import DecodingPool
    from xemplar.index import current
    from xemplar.model.checkpoint import default_checkpoint
    from xemplar.retrieval.references import study_references
    from xemplar.retrieval.retriever import Retriever

    from ..outbox.archive import open_archive
    from ..outbox.outbox import Outbox

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("xemplar").setLevel(logging.INFO)
    log, place = logging.getLogger("xemplar.pacs"), Store(store, index_url)
    settings = read_settings(**options)
    references = study_references(place, viewer_url, days=study_days)
    wanted = settings.do != "index" or bool(settings.archive)  # results of before may wait
    archive = open_archive(settings) if wanted else None
    # a store without an index, or another catalog, is refused before anything is acknowledged
    current(place)
    open_catalog(database or place.database_url).close()
    with ExitStack() as closing:
        outbox = Outbox.open(settings.folder)
        closing.callback(outbox.close)
        asked_to_stop = closing.enter_context(signals())
        pool = DecodingPool(1, settings.limits, DECODE_SECONDS)
        decoder = closing.enter_context(pool)
        of_retriever = closing.enter_context(ExitStack())  # closed after the node has stopped
        node = closing.enter_context(running(settings, outbox, archive))
        log.info("%s receives at %s:%s", settings.title, settings.host, node.server.port)
        path = checkpoint or default_checkpoint()
        retriever = Retriever.open(path, place, database, decoder)
        of_retriever.callback(retriever.close)
        node.answer(retriever, references)
        log.info("ready: %s answers", retriever.generation.name)
        asked_to_stop.get()
        log.info("stopping")
