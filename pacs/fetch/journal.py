"""Record of what was fetched: UIDs as keyed digests in the catalog, and in nothing that lasts."""

from collections.abc import Collection, Iterable, Sequence

from xemplar.archive.store import Store
from xemplar.operations.fetched import Fetched

from .archive import ArchiveImage, ArchiveStudy
from .query import FetchQuery


class Journal:
    """Images that were fetched, and studies of which all wanted ones were. Thread-safe."""

    def __init__(
        self, store: Store, fetched: Fetched, query: FetchQuery, *, again: bool = False
    ) -> None:
        """Open it.

        Args:
            store: whose key makes the digests.
            fetched: the digests in the catalog.
            query: what is wanted of a study.
            again: whether to pass over what was fetched before.
        """
        self._store = store
        self._fetched = fetched
        self._query = query
        self._again = again

    def image(self, image: ArchiveImage) -> str:
        """Return the digest of an image."""
        return self._store.keyed_digest("fetched image", image.uid)

    def study(self, study: ArchiveStudy) -> str | None:
        """Return the digest of a study with its present images; None if their number is unknown.

        A study that gets another image has another digest, and is searched again.
        """
        if study.images is None:
            return None
        query = self._query
        said = (study.uid, str(study.images), *query.modalities, query.body_part)
        return self._store.keyed_digest("fetched study", "/".join(said))

    def new(self, digests: Sequence[str | None]) -> frozenset[str | None]:
        """Return those of some digests that were not added before; None is always new."""
        if self._again:
            return frozenset(digests)
        return frozenset(digests) - self._fetched.known([one for one in digests if one])

    def add(self, digests: Iterable[str]) -> None:
        """Add digests, all or none.

        Raises:
            StorageError: none was added.
        """
        added: Collection[str] = list(digests)
        if added:
            self._fetched.add(added)
