"""What a kill leaves behind when an image is taken in is deleted later, and nothing else is."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.archive.media import Media
from xemplar.catalog import Catalog, open_catalog
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import load
from xemplar.retrieval.ingest import ORPHAN_GRACE_SECONDS, delete_orphans


@pytest.fixture
def catalog(own: SmallStore) -> Iterator[Catalog]:
    with open_catalog(own.store.database_url) as opened:
        yield opened


def test_pictures_of_no_case_are_deleted_once_they_are_old(
    own: SmallStore, catalog: Catalog
) -> None:
    media, spec = Media(own.store.media), load(own.checkpoint).card.spec
    old, young = (decode(encoded(drawn_image(number))) for number in (60, 61))
    for image in (old, young):
        media.write(image, preprocess(image, spec), spec)
    before = time.time() - ORPHAN_GRACE_SECONDS - 1
    for path in own.store.media.rglob("*.*"):
        if young.sha256 not in path.name:
            os.utime(path, (before, before))
    delete_orphans(catalog, media)
    assert not media.has(old.sha256, spec)
    assert media.has(young.sha256, spec)
    cases = catalog.page(load(own.checkpoint).digest)
    assert len(cases) == CASES
    assert all(media.has(case.image_sha256, spec) for case in cases)
