"""Everything in the catalog -> a new generation, from what is stored: no image is decoded again.

With the checkpoint that answers, what came and what went since the last generation is merged into
a new one. With another checkpoint, every image is embedded anew from the stored input; the old
checkpoint and its generation answer until the new one is published.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from xemplar.archive.artefact import sweep
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Batch, Catalog
from xemplar.errors import ArtefactError, ConfigurationError, NotFound
from xemplar.index import FACTORY, current, read_manifest
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder
from xemplar.retrieval.ingest import delete_orphans, delete_pictures, embed_stored

from .job import BATCH
from .publishing import PublishedGeneration, build_generation

MAX_LOST = 0.01
"""Share of the images that may be left out, as their stored input is missing or damaged."""


class ProgressWatcher(Protocol):
    """Whoever started the work. Each call may raise, which ends the work and leaves all as it was.

    What was embedded until then is kept, and not embedded again.
    """

    def moved(self, done: int, total: int) -> None:
        """So many images or cases of so many are done."""

    def say(self, line: str) -> None:
        """What happens now, for people."""

    def confirm(self) -> None:
        """Whether the new generation may be published."""


def reindex(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    encoder: Callable[[], Encoder],
    watcher: ProgressWatcher,
    *,
    factory: str = "",
) -> PublishedGeneration:
    """Build a generation of all cases by a checkpoint, check it, and publish it.

    Args:
        store: where pictures and generations lie.
        catalog: of that store.
        checkpoint: whose generation it will be.
        encoder: makes its encoder; only called if there is an image to embed.
        watcher: is told, and may stop the work.
        factory: FAISS factory string; empty for the live generation's.

    Raises:
        NothingIndexed: there are no cases.
        ConfigurationError: too many images cannot be embedded from what is stored.
        CorruptArtefact: the new generation does not find what it holds.
    """
    sweep(store.generations)
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
        factory=factory or _live_factory(store),
        source=source,
        confirm=watcher.confirm,
    )
    watcher.say(f"generation {published.name} with {published.count:,} cases is live")
    # while it was built, another checkpoint answered, and what came then has no other embedding
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
    """Embed cases from their stored inputs; so large a share of them may be left out."""
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


def _live_factory(store: Store) -> str:
    try:
        return read_manifest(store.generations / current(store)).factory
    except (ArtefactError, NotFound):
        return FACTORY
