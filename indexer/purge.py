"""Deletes data of removed cases from index generations on disk."""

from collections.abc import Callable

from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.errors import NothingIndexed
from xemplar.index import current, remove, sweep
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder
from xemplar.operations.removals import purge_backlog

from .reindex import ProgressWatcher, reindex


def purge(
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    encoder: Callable[[], Encoder],
    watcher: ProgressWatcher,
) -> tuple[str, ...]:
    """Publish a generation without removed cases, and delete all that contain some.

    Generations without removed cases are kept for rollbacks. Cases removed in the meantime are left
    to the next purge. A service closes a deleted generation when it switches to the new one.

    Args:
        store: contains the generations.
        catalog: records the removals.
        checkpoint: of the live generation.
        encoder: creates its encoder; see `reindex`.
        watcher: receives progress and may stop the work.

    Returns:
        Names of the deleted generations.

    Raises:
        NothingIndexed: there is no live generation, or no case is left.
        ConfigurationError, CorruptArtefact, StorageError: see `reindex`.
    """
    sweep(store)
    if current(store) in purge_backlog(store, catalog).generations:
        if not catalog.count(checkpoint.digest):
            raise NothingIndexed(
                "all indexed cases were removed, and an empty index cannot be built; add another "
                f"image, or delete {store.generations}"
            )
        reindex(store, catalog, checkpoint, encoder, watcher)
    watcher.confirm()
    live = current(store)
    held = purge_backlog(store, catalog).generations
    old = tuple(name for name in held if name != live and not name.startswith("."))
    for name in old:
        remove(store, name)
        watcher.say(f"deleted generation {name}")
    if not catalog.truncate_log():
        watcher.say("the database's log could not be emptied, as it was in use")
    return old
