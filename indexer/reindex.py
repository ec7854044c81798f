"""Builds a new generation of all cases from stored data, without decoding images again.

With the live checkpoint, additions and removals since the last generation are merged into a new
one. With another checkpoint, all images are embedded again from stored inputs; the old checkpoint
and generation stay live until the new one is published.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Batch, Catalog
from xemplar.errors import ConfigurationError
from xemplar.index import sweep
from xemplar.indexing.publishing import PublishedGeneration, build_generation
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import BATCH, Encoder
from xemplar.retrieval.ingest import delete_orphans, delete_pictures, embed_stored

MAX_LOST = 0.01
"""Fraction of images that may be skipped as their stored input is missing or damaged."""


class ProgressWatcher(Protocol):
    """Observer of a reindex. Each call may raise to stop the work before anything is published.

    Finished embeddings are kept.
    """

    def moved(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` images or cases are processed."""

    def say(self, line: str) -> None:
        """Report the current step, as a message."""

    def confirm(self) -> None:
        """Confirm that the new generation may be published."""


def reindex(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    encoder: Callable[[], Encoder],
    watcher: ProgressWatcher,
    *,
    factory: str = "",
) -> PublishedGeneration:
    """Build a generation of all cases with a checkpoint, check it and publish it.

    Args:
        store: contains pictures and generations.
        catalog: of that store.
        checkpoint: for the new generation.
        encoder: creates its encoder; called only if there are images to embed.
        watcher: receives progress and may stop the work.
        factory: FAISS factory string; empty for the live generation's choice.

    Raises:
        NothingIndexed: there are no cases.
        ConfigurationError: too many images lack a usable stored input.
        CorruptArtefact: the new generation fails its check.
    """
    sweep(store)
    media = Media(store.media)
    delete_pictures(catalog, media)
    delete_orphans(catalog, media)
    missing: list[int] = catalog.not_embedded(checkpoint.digest).tolist()
    if missing:
        watcher.say(f"{len(missing):,} images to embed with checkpoint {checkpoint.digest[:12]}")
        _embed_missing(missing, encoder(), catalog, media, watcher, MAX_LOST)
    total = catalog.count(checkpoint.digest)
    watcher.say(f"building an index of {total:,} cases")

    def source() -> Iterator[Batch]:
        done = 0
        for batch in catalog.vectors(checkpoint.digest):
            yield batch
            done += len(batch.ids)
            watcher.moved(done, total)

    published = build_generation(
        store,
        catalog,
        checkpoint,
        factory=factory,
        source=source,
        confirm=watcher.confirm,
    )
    watcher.say(f"generation {published.name} with {published.count:,} cases is live")
    # cases added during the build were embedded only with the previous checkpoint
    late = np.setdiff1d(catalog.not_embedded(checkpoint.digest), missing)
    if len(late):
        _embed_missing(late.tolist(), encoder(), catalog, media, watcher, 1.0)
    return published


def _embed_missing(
    ids: list[int],
    encoder: Encoder,
    catalog: Catalog,
    media: Media,
    watcher: ProgressWatcher,
    most_lost: float,
) -> None:
    """Embed cases from their stored inputs, tolerating up to ``most_lost`` unusable ones."""
    lost: list[str] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        lost += embed_stored(batch, encoder, catalog, media)
        if len(lost) > most_lost * len(ids):
            raise ConfigurationError(
                f"of {len(ids):,} images to embed, {len(lost)} of the first {start + len(batch):,} "
                f"have no usable input of this checkpoint's preprocessing, as case {lost[0]}; run "
                "`xemplar index` on their data sets with --checkpoint and --no-publish, then this "
                "again"
            )
        watcher.moved(start + len(batch), len(ids))
    for case_id in lost:
        watcher.say(f"case {case_id} left out: its stored input is missing or damaged")
