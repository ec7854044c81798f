"""`CurrentColumns`: the columns that filters ask, read when first needed and kept up to date."""

from threading import Lock

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Catalog, FilterColumns


class CurrentColumns:
    """Filter columns of a catalog, shared by the indexes that follow each other. Thread-safe.

    Reading them takes seconds for a million cases, which a service does not wait for when it opens,
    nor again when it takes over another generation.
    """

    def __init__(self) -> None:
        self._latest: FilterColumns | None = None
        self._reading = Lock()

    def of(self, catalog: Catalog, ids: npt.NDArray[np.int64]) -> FilterColumns:
        """Return the columns of cases, as they are in the catalog now.

        The first call reads them, and others wait for it; later ones read what has changed.

        Args:
            catalog: of the cases.
            ids: int64 (n,), ascending.
        """
        with self._reading:
            latest = self._latest
            if latest is None:
                latest = self._latest = FilterColumns.read(catalog, ids)
        return latest.updated(catalog, ids)

    def follow(self, catalog: Catalog, ids: npt.NDArray[np.int64]) -> None:
        """Apply changes, if the columns were read, so that the next filter need not."""
        if self._latest is not None:
            self._latest = self.of(catalog, ids)
