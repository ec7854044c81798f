"""An empty store with its catalog."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate, open_catalog


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def catalog(store: Store) -> Iterator[Catalog]:
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield opened
