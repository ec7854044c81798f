"""Detects a data set with the name of another one, which would mix up their patients."""

import hashlib
from contextlib import suppress

from xemplar.catalog import Catalog
from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.errors import DatasetError

COMPARED = 32
"""Maximum number of images read to find one that was indexed before."""


def check_source(dataset: Dataset, catalog: Catalog) -> None:
    """Refuse a data set with patients if another one in the catalog has the same name.

    It counts as the same data set if one of its images was indexed under this name before, byte for
    byte.

    Args:
        dataset: to index.
        catalog: destination.

    Raises:
        DatasetError: images of a data set with this name were indexed, and none of the compared
            ones is in this folder.
    """
    if not any(image.patient for image in dataset.images):
        return
    before = catalog.named_images(dataset.name)
    names = {file for file, _ in before}
    again = [image for image in dataset.images if image.file in names]
    some = again[:: -(-len(again) // COMPARED) or 1]
    if before and not any((image.file, _digest(image)) in before for image in some):
        raise DatasetError(
            f"{len(before):,} images of a data set {dataset.name!r} were indexed before, and none "
            f"that was compared is in {dataset.root}; patients of two data sets must not share a "
            "name. If this is another data set, give it a name with --source; if it is the same "
            f"one with other images, confirm it with --source {dataset.name}"
        )


def _digest(image: DatasetImage) -> str | None:
    """Return the sha256 hex digest of an image's bytes; None if it is unreadable."""
    with suppress(OSError), image.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None
