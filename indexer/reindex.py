"""Everything in the catalog -> a new generation, from what is stored: no film is decoded again.

With the checkpoint that answers, what came and what went since the last generation is merged into
a new one. With another checkpoint, every film is embedded anew from the stored input; the old
checkpoint and its generation answer until the new one is published.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from indexer.job import BATCH
from indexer.publishing import Published, build_generation
from xemplar.artefact import sweep
from xemplar.catalog import Batch, Case, Catalog
from xemplar.checkpoint import Checkpoint
from xemplar.encoder import Encoder
from xemplar.errors import ArtefactError, ConfigurationError, CorruptArtefact, NotFound
from xemplar.index import FACTORY, current, read_manifest
from xemplar.intake import Prepared, delete_pictures, embed
from xemplar.media import Media
from xemplar.store import Store

MAX_LOST = 0.01
"""Share of the films that may be left out, as their stored input is missing or damaged."""


class Watcher(Protocol):
    """Whoever started the work. Each call may raise, which ends the work and leaves all as it was.

    What was embedded until then is kept, and not embedded again.
    """

    def moved(self, done: int, total: int) -> None:
        """So many films or cases of so many are done."""

    def say(self, line: str) -> None:
        """What happens now, for people."""

    def confirm(self) -> None:
        """Whether the new generation may be published."""


def reindex(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    encoder: Callable[[], Encoder],
    watcher: Watcher,
    *,
    factory: str = "",
) -> Published:
    """Build a generation of all cases by a checkpoint, check it, and publish it.

    Args:
        store: where pictures and generations lie.
        catalog: of that store.
        checkpoint: whose generation it will be.
        encoder: makes its encoder; only called if there is a film to embed.
        watcher: is told, and may stop the work.
        factory: FAISS factory string; empty for the live generation's.

    Raises:
        NothingIndexed: there are no cases.
        ConfigurationError: too many films cannot be embedded from what is stored.
        CorruptArtefact: the new generation does not find what it holds.
    """
    sweep(store.generations)
    delete_pictures(catalog, Media(store.media))
    missing = [int(number) for number in catalog.not_embedded(checkpoint.digest)]
    if missing:
        watcher.say(f"{len(missing):,} films to embed with checkpoint {checkpoint.digest[:12]}")
        lost = _embed_stored(missing, catalog, Media(store.media), encoder(), watcher)
        for case_id in lost:
            watcher.say(f"case {case_id} left out: its stored input is missing or damaged")
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
    return published


def _embed_stored(
    ids: list[int], catalog: Catalog, media: Media, encoder: Encoder, watcher: Watcher
) -> list[str]:
    """Embed cases from their stored inputs; returns the ids of those that could not be."""
    lost: list[str] = []
    for start in range(0, len(ids), BATCH):
        cases = catalog.cases(ids[start : start + BATCH])
        read = [(case, _prepared(case, media, encoder.checkpoint)) for case in cases.values()]
        usable = [(case, film) for case, film in read if film is not None]
        lost += [case.case_id for case, film in read if film is None]
        if len(lost) > MAX_LOST * len(ids):
            raise ConfigurationError(
                f"of {len(ids):,} films to embed, {len(lost)} of the first {start + len(cases):,} "
                f"have no usable input of this checkpoint's preprocessing, as case {lost[0]}; run "
                "`xemplar index` on their data sets with --checkpoint and --no-publish, then this "
                "again"
            )
        if usable:
            entries = embed(encoder, [(film, case) for case, film in usable])
            made = {
                case.id: entry
                for (case, _), entry in zip(usable, entries, strict=True)
                if entry is not None
            }
            catalog.put_embeddings(encoder.checkpoint.digest, made)
        watcher.moved(start + len(cases), len(ids))
    return lost


def _prepared(case: Case, media: Media, checkpoint: Checkpoint) -> Prepared | None:
    """A case's stored input; None where it is missing or damaged."""
    try:
        inputs = media.input(case.image_sha256, checkpoint.card.spec)
    except (NotFound, CorruptArtefact):
        return None
    size = (case.height, case.width)
    return Prepared(case.image_sha256, inputs, size, case.view, case.photometric, case.spacing_mm)


def _live_factory(store: Store) -> str:
    try:
        return read_manifest(store.generations / current(store)).factory
    except (ArtefactError, NotFound):
        return FACTORY
