"""One Milvus server for all tests here; where none can run, they are skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.milvus import Milvus, NoMilvus
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate, open_catalog


@pytest.fixture(scope="session")
def server() -> Iterator[Milvus]:
    try:
        milvus = Milvus()
    except NoMilvus as reason:
        pytest.skip(str(reason))
    with milvus:
        yield milvus


@pytest.fixture(scope="module")
def store(server: Milvus, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a database of its own in Milvus."""
    return Store(tmp_path_factory.mktemp("milvus") / "store", server.create())


@pytest.fixture(scope="module")
def catalog(store: Store) -> Iterator[Catalog]:
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield opened


@pytest.fixture
def own(server: Milvus, tmp_path: Path) -> Iterator[tuple[Store, Catalog]]:
    """A store that a test may change, and its catalog."""
    store = Store(tmp_path / "store", server.create())
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield store, opened
