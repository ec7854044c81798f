"""From everything that a checkpoint embedded to a generation, and to the live one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from xemplar.catalog import Catalog, GenerationRecord
from xemplar.catalog.generations import Generations
from xemplar.checkpoint import Checkpoint
from xemplar.errors import ArtefactError, NotFound
from xemplar.index import (
    FACTORY,
    SimilarityCalibration,
    Source,
    build,
    current,
    open_generation,
    publish,
    read_manifest,
    remove,
)
from xemplar.store import Store

from .canary import check_generation


@dataclass(frozen=True)
class Published:
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
) -> Published:
    """Build a generation from all that the catalog holds of a checkpoint, and publish it.

    Before that it must pass `check_generation`: the old one answers until then.

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
        ConfigurationError: FAISS cannot build such an index.
        CorruptArtefact: the new generation does not find what it holds; it is deleted again.
        Mismatch: the calibration is about another checkpoint's similarities.
    """
    keep = go_live and not changed and calibration is None
    live = _same(store, catalog, checkpoint, factory) if keep else None
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
    try:
        check_generation(open_generation(store, checkpoint, manifest.name), source)
        if go_live:
            confirm()
    except BaseException:
        remove(store, manifest.name)
        raise
    Generations(catalog.engine).record(
        GenerationRecord(
            manifest.name,
            manifest.checkpoint,
            manifest.preprocessing,
            manifest.count,
            datetime.fromisoformat(manifest.created),
        )
    )
    if go_live:
        activate(store, catalog, manifest.name)
    return Published(manifest.name, manifest.count, is_new=True)


def activate(store: Store, catalog: Catalog, name: str) -> None:
    """Make a generation the live one.

    Raises:
        NotFound: there is none of that name.
    """
    publish(store, name)
    Generations(catalog.engine).record_published(name)


def _same(store: Store, catalog: Catalog, checkpoint: Checkpoint, factory: str) -> Published | None:
    """The live generation, if it is whole and holds what a new one would hold."""
    try:
        live = open_generation(store, checkpoint, current(store))
    except (ArtefactError, NotFound):
        return None  # none, another checkpoint's, or a damaged one: a new one mends that
    if live.manifest.factory != factory:
        return None
    if not np.array_equal(live.ids, catalog.embedded_ids(checkpoint.digest)):
        return None
    return Published(live.name, len(live), is_new=False)


def _calibration(store: Store, checkpoint: Checkpoint) -> SimilarityCalibration | None:
    """The live generation's, if this checkpoint made it: more films do not make it void at once."""
    try:
        manifest = read_manifest(store.generations / current(store))
    except (ArtefactError, NotFound):
        return None
    return manifest.calibration if manifest.checkpoint == checkpoint.digest else None
