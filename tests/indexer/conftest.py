"""The catalog and the checkpoint of a store that a test may change."""

from collections.abc import Iterator

import pytest

from tests.stores import SmallStore
from xemplar.catalog import Catalog, open_catalog
from xemplar.model.checkpoint import Checkpoint, load


@pytest.fixture
def catalog(own: SmallStore) -> Iterator[Catalog]:
    with open_catalog(own.store.database_url) as opened:
        yield opened


@pytest.fixture
def checkpoint(own: SmallStore) -> Checkpoint:
    return load(own.checkpoint)
