"""The empty catalog of a store, which is SQLite's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import catalog_in
from xemplar.archive.store import Store
from xemplar.catalog import Catalog


@pytest.fixture
def catalog(store: Store, sqlite_template: Path) -> Iterator[Catalog]:
    with catalog_in(store, sqlite_template) as opened:
        yield opened
