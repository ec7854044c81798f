"""From everything that a checkpoint embedded to a generation, and to the live one."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from xemplar.archive.store import Store
from xemplar.catalog import Catalog, GenerationRecord, Generations
from xemplar.errors import ArtefactError, NotFound, XemplarError
from xemplar.index import (
    FACTORY,
    Manifest,
    SimilarityCalibration,
    Source,
    build,
    current,
    open_generation,
    read_manifest,
    remove,
)
from xemplar.model.checkpoint import Checkpoint, find, keep
from xemplar.retrieval.snapshot import publish_usable

from .canary import check_generation


@dataclass(frozen=True)
class PublishedGeneration:
    """A generation after a job.

    Attributes:
        name: of the generation.
        count: of cases in it.
        is_new: False where the live one holds the same cases already, so none was built.
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
    factory: str = FACTORY,
    calibration: SimilarityCalibration | None = None,
    source: Source | None = None,
    confirm: Callable[[], None] = lambda: None,
) -> PublishedGeneration:
    """Build a generation from all that the catalog holds of a checkpoint, and publish it.

    Before that it must pass `check_generation`: the old one answers until then. The store keeps
    its checkpoint from then on.

    Args:
        store: where to.
        catalog: the truth.
        checkpoint: whose embeddings to take.
        changed: whether embeddings may have changed; if not, a live generation with the same cases
            is left as it is.
        go_live: whether to publish it.
        factory: FAISS factory string.
        calibration: of similarity; None for the live generation's, if this checkpoint made it.
        source: of the embeddings, where each reading of them is to be watched; None for the
            catalog itself.
        confirm: called right before the generation is published; what it raises prevents it.

    Raises:
        NothingIndexed: the checkpoint has embedded nothing.
        ConfigurationError: FAISS cannot build such an index, or the checkpoint's file is gone.
        StorageError: disk or database cannot be written; the live generation stays.
        CorruptArtefact: the new generation does not find what it holds; it is deleted again.
        Mismatch: the calibration is about another checkpoint's similarities.
    """
    if checkpoint.path is not None:
        keep(checkpoint.path, store)
    find(checkpoint.digest, store)
    same = go_live and not changed and calibration is None
    live = _same(store, catalog, checkpoint, factory) if same else None
    if live is not None:
        return live
    source = source or (lambda: catalog.vectors(checkpoint.digest))
    manifest = build(
        store,
        checkpoint,
        source,
        factory=factory,
        calibration=calibration or _calibration(store, checkpoint),
    )
    name = manifest.name
    try:
        check_generation(open_generation(store, checkpoint, name), source)
        if go_live:
            confirm()
        _record(catalog, manifest)
        if go_live:
            activate(store, catalog, name)
    except BaseException:
        with suppress(XemplarError):  # the first error is the one to tell
            remove(store, name)
        raise
    return PublishedGeneration(name, manifest.count, is_new=True)


def activate(store: Store, catalog: Catalog, name: str) -> None:
    """Make a generation the live one, whose checkpoint the store keeps (see `publish_usable`)."""
    publish_usable(name, store, catalog)


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
    """The live generation, if it is whole and holds what a new one would hold."""
    try:
        live = open_generation(store, checkpoint, current(store))
    except (ArtefactError, NotFound):
        return None  # none, another checkpoint's, or a damaged one: a new one mends that
    if live.manifest.factory != factory:
        return None
    if not np.array_equal(live.ids, catalog.embedded_ids(checkpoint.digest)):
        return None
    return PublishedGeneration(live.name, len(live), is_new=False)


def _calibration(store: Store, checkpoint: Checkpoint) -> SimilarityCalibration | None:
    """Reuse the live generation's, if this checkpoint made it: a few new images do not void it."""
    try:
        manifest = read_manifest(store.generations / current(store))
    except (ArtefactError, NotFound):
        return None
    return manifest.calibration if manifest.checkpoint == checkpoint.digest else None
