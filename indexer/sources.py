"""A data set under the name of another one, which would mix up their patients."""

import hashlib
from contextlib import suppress

from xemplar.catalog import Catalog
from xemplar.data.datasets import Dataset, Film
from xemplar.errors import DatasetError

COMPARED = 32
"""Films that are read at most to find one that was indexed before."""


def check_source(dataset: Dataset, catalog: Catalog) -> None:
    """Refuse a data set with patients whose name another one in the catalog has.

    It is the same one if a film of it was indexed under the name before, byte for byte.

    Args:
        dataset: to be indexed.
        catalog: that it is to be put into.

    Raises:
        DatasetError: films of that name were indexed, and none of them is in this folder.
    """
    if not any(film.patient for film in dataset.films):
        return
    before = catalog.named_films(dataset.name)
    names = {file for file, _ in before}
    again = [film for film in dataset.films if film.file in names]
    some = again[:: -(-len(again) // COMPARED) or 1]
    if before and not any((film.file, _digest(film)) in before for film in some):
        raise DatasetError(
            f"{len(before):,} films of a data set {dataset.name!r} were indexed before, and none "
            f"that was compared is in {dataset.root}; patients of two data sets must not share a "
            "name. If this is another data set, give it a name with --source; if it is the same "
            f"one with other films, confirm it with --source {dataset.name}"
        )


def _digest(film: Film) -> str | None:
    """sha256 hex digest of a film's bytes, None where it cannot be read."""
    with suppress(OSError), film.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None
