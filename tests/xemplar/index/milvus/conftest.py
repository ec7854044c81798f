"""Stores whose index is in Milvus; where no server can run, the tests are skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.milvus import Milvus
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate, open_catalog


@pytest.fixture(scope="module")
def store(milvus: Milvus, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a database of its own in Milvus."""
    return Store(tmp_path_factory.mktemp("milvus") / "store", milvus.create())


@pytest.fixture(scope="module")
def catalog(store: Store) -> Iterator[Catalog]:
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield opened


@pytest.fixture
def own(milvus: Milvus, tmp_path: Path) -> Iterator[tuple[Store, Catalog]]:
    """A store that a test may change, and its catalog."""
    store = Store(tmp_path / "store", milvus.create())
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield store, opened
