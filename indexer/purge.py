"""Deletes what index generations on disk still hold of removed cases."""

from collections.abc import Callable

from xemplar.archive.artefact import sweep
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.errors import NothingIndexed
from xemplar.index import current, remove
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
    """Publish a generation without the removed cases, and delete all that hold some.

    Generations that hold none stay, to go back to. What is removed meanwhile is left for the next
    time. A service that has a generation open lets go of its files once it takes the new one over.

    Args:
        store: where the generations lie.
        catalog: says what was removed.
        checkpoint: of the live generation.
        encoder: makes its encoder; see `reindex`.
        watcher: is told, and may stop the work.

    Returns:
        Names of the generations that were deleted.

    Raises:
        NothingIndexed: there is no live generation, or no case is left to index.
        ConfigurationError, CorruptArtefact, StorageError: see `reindex`.
    """
    sweep(store.generations)
    if current(store) in purge_backlog(store, catalog).generations:
        if not catalog.count(checkpoint.digest):
            raise NothingIndexed(
                "every indexed case was removed, and an index of none cannot be built; put "
                f"another image in, or delete {store.generations}"
            )
        reindex(store, catalog, checkpoint, encoder, watcher)
    watcher.confirm()
    live = current(store)
    held = purge_backlog(store, catalog).generations
    old = tuple(name for name in held if name != live and not name.startswith("."))
    for name in old:
        remove(store, name)
        watcher.say(f"generation {name} is deleted")
    if not catalog.truncate_log():
        watcher.say("the database's log could not be emptied, as others were using it")
    return old
