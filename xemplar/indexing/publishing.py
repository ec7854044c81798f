"""Builds a generation from a checkpoint's embeddings and publishes it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from xemplar.archive.store import Store
from xemplar.catalog import Catalog, GenerationRecord, Generations
from xemplar.errors import ArtefactError, NotFound, XemplarError
from xemplar.index import (
    AUTO,
    LiveIndex,
    Manifest,
    SimilarityCalibration,
    Source,
    build,
    check_content,
    current,
    known_factory,
    manifest_of,
    open_generation,
    remove,
)
from xemplar.index.manifest import SCHEMA
from xemplar.indexing.canary import check_generation
from xemplar.model.checkpoint import Checkpoint, find, keep
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval.snapshot import Snapshot, new_validator, publish_usable


@dataclass(frozen=True)
class PublishedGeneration:
    """The generation resulting from a job.

    Attributes:
        name: of the generation.
        count: number of cases.
        is_new: False if the live generation had the same cases, so that none was built.
    """

    name: str
    count: int
    is_new: bool


def build_generation(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    *,
    changed: bool = True,
    go_live: bool = True,
    factory: str = "",
    calibration: SimilarityCalibration | None = None,
    source: Source | None = None,
    confirm: Callable[[], None] = lambda: None,
) -> PublishedGeneration:
    """Build a generation from a checkpoint's embeddings, check it and publish it.

    It is published only if it passes `check_generation`. Its checkpoint is copied into the store.

    Args:
        store: destination.
        catalog: contains the embeddings.
        checkpoint: of the embeddings.
        changed: whether embeddings may have changed; if not, a live generation with the same cases
            is kept.
        go_live: whether to publish it.
        factory: FAISS factory string; empty for the live generation's choice.
        calibration: of similarity; None to reuse the live generation's if the checkpoint is the
            same.
        source: of the embeddings, to observe their reading; None for the catalog.
        confirm: called right before publication; may raise to prevent it.

    Raises:
        NothingIndexed: the checkpoint has embedded nothing.
        ConfigurationError: no index can be built so, or the checkpoint's file is missing.
        StorageError: disk or database cannot be written; the live generation does not change.
        CorruptArtefact: the new generation fails its check and is deleted.
        Mismatch: the calibration belongs to another checkpoint.
    """
    if checkpoint.path is not None:
        keep(checkpoint.path, store)
    find(checkpoint.digest, store)
    factory = factory or _live_choice(store)
    same = go_live and not changed and calibration is None
    live = _same(store, catalog, checkpoint, factory) if same else None
    if live is not None:
        return live
    source = source or (lambda: catalog.vectors(checkpoint.digest))
    manifest = build(
        store,
        checkpoint,
        source,
        catalog=catalog,
        factory=factory,
        calibration=calibration or _calibration(store, checkpoint),
    )
    name = manifest.name
    try:
        check_generation(open_generation(store, checkpoint, name, catalog), source)
        if go_live:
            confirm()
        _record(catalog, manifest)
        if go_live:
            activate(store, catalog, name)
    except BaseException:
        with suppress(XemplarError):  # report the first error
            remove(store, name)
        raise
    return PublishedGeneration(name, manifest.count, is_new=True)


def activate(store: Store, catalog: Catalog, name: str) -> None:
    """Publish a generation whose checkpoint the store contains (see `publish_usable`)."""
    publish_usable(name, store, catalog)


def fit_validator(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
) -> None:
    """Fit the input validator of the live generation now, so that no service start waits for it."""
    encoder = open_encoder(checkpoint, precision=precision, threads=threads)
    generation = LiveIndex.of(open_generation(store, checkpoint, catalog=catalog), catalog)
    new_validator(Snapshot(encoder, generation), catalog, store)


def _record(catalog: Catalog, manifest: Manifest) -> None:
    Generations(catalog.engine).record(
        GenerationRecord(
            manifest.name,
            manifest.checkpoint,
            manifest.preprocessing,
            manifest.count,
            datetime.fromisoformat(manifest.created),
        )
    )


def _same(
    store: Store, catalog: Catalog, checkpoint: Checkpoint, factory: str
) -> PublishedGeneration | None:
    """Return the live generation if it is intact and has the cases that a new one would have."""
    try:
        live = open_generation(store, checkpoint, current(store), catalog)
        check_content(store, live.name)
    except (ArtefactError, NotFound):
        return None  # missing, damaged or from another checkpoint: build a new one
    if live.manifest.schema != SCHEMA or _choice(live.manifest) != known_factory(store, factory):
        return None
    if not np.array_equal(live.ids, catalog.embedded_ids(checkpoint.digest)):
        return None
    return PublishedGeneration(live.name, len(live), is_new=False)


def _live_choice(store: Store) -> str:
    """Return the factory string that the live generation was asked for; `AUTO` without one."""
    try:
        return _choice(manifest_of(store, current(store)))
    except (ArtefactError, NotFound):
        return AUTO


def _choice(manifest: Manifest) -> str:
    return AUTO if manifest.automatic else manifest.factory


def _calibration(store: Store, checkpoint: Checkpoint) -> SimilarityCalibration | None:
    """Return the live generation's calibration if its checkpoint is the same."""
    try:
        manifest = manifest_of(store, current(store))
    except (ArtefactError, NotFound):
        return None
    return manifest.calibration if manifest.checkpoint == checkpoint.digest else None
