"""`StoreFollower`: the snapshot that answers, kept up to date with store and catalog."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Self

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Access, Catalog
from xemplar.index import LiveIndex, check_answers
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder
from xemplar.retrieval.snapshot import (
    Snapshot,
    embed_missed_cases,
    live_checkpoint,
    new_validator,
    open_snapshot,
    publish_usable,
)


@dataclass
class _Shared:
    """Mutable state shared by a follower and its bound copies."""

    snapshot: Snapshot


class StoreFollower:
    """Holds the current snapshot and replaces it when store or catalog change. Thread-safe.

    Attributes:
        catalog: the cases, restricted to the access that the follower is bound to.
        store: folder of the index generations.
        media: stored images of the cases.
    """

    def __init__(
        self,
        live: Snapshot,
        catalog: Catalog,
        store: Store,
        checkpoint: Path,
        opener: Callable[[Checkpoint], Encoder],
    ) -> None:
        self._shared = _Shared(live)
        self.catalog = self._whole_catalog = catalog
        self.store = store
        self.media = Media(store.media)
        self._checkpoint = checkpoint
        self._opener = opener
        self._changing = Lock()

    def bound(self, access: Access) -> Self:
        """Return a copy restricted to a caller's access: other cases do not exist for it.

        The copy shares the snapshot, and so every later update of it.
        """
        bound = copy.copy(self)
        bound.catalog = self._whole_catalog.bound(access)
        return bound

    @property
    def live(self) -> Snapshot:
        """The current snapshot; read it once for each question."""
        return self._shared.snapshot

    @live.setter
    def live(self, live: Snapshot) -> None:
        self._shared.snapshot = live

    @property
    def checkpoint(self) -> Checkpoint:
        """The current checkpoint."""
        return self.live.checkpoint

    @property
    def encoder(self) -> Encoder:
        """The encoder of the current checkpoint."""
        return self.live.encoder

    @property
    def generation(self) -> LiveIndex:
        """The current index generation."""
        return self.live.generation

    def close(self) -> None:
        """Close the connections to the catalog's database."""
        self._whole_catalog.close()

    def check_answers(self) -> None:
        """Refuse an index that cannot be searched now.

        Raises:
            IndexUnreachable: it is in Milvus, which does not answer.
        """
        check_answers(self.store)

    def refresh(self) -> None:
        """Switch to the store's live generation, and to its checkpoint if that differs.

        Running queries are answered from the generation that they started with.

        Raises:
            CorruptArtefact, Mismatch, NothingIndexed: it cannot be used; the old one stays.
        """
        path = live_checkpoint(self.store, self._checkpoint)
        live = open_snapshot(path, self.store, self._whole_catalog, self._opener, self.live)
        embed_missed_cases(self.checkpoint, live.encoder, self._whole_catalog, self.media)
        with self._changing:  # opening took a while, and cases may have been added
            embed_missed_cases(self.checkpoint, live.encoder, self._whole_catalog, self.media)
            generation = live.generation.updated(self._whole_catalog)
            self.live = replace(live, generation=generation)

    def publish(self, name: str) -> None:
        """Make a generation the store's live one; `refresh` switches to it.

        Raises:
            NotFound, CorruptArtefact, Mismatch: see `publish_usable`; the live one stays.
        """
        publish_usable(name, self.store, self._whole_catalog, self._checkpoint)

    def fit_validator(self) -> None:
        """Fit the input validator to the images of the current generation.

        Raises:
            CorruptArtefact: a stored input is damaged; the old input validator stays.
            DatabaseUnreachable: the catalog does not answer; likewise.
        """
        live = self.live
        validator = new_validator(live, self._whole_catalog, self.store)
        with self._changing:
            if self.checkpoint is live.checkpoint:  # another one has its own input validator
                self.live = replace(self.live, validator=validator)

    def update(self) -> None:
        """Apply the catalog's additions and removals, whichever process made them.

        Running queries do not see the change.

        Raises:
            DatabaseUnreachable: nothing has changed.
        """
        with self._changing:
            generation = self.generation.updated(self._whole_catalog)
            self.live = replace(self.live, generation=generation)
