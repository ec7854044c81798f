"""Empty databases: tests that use them run on SQLite and PostgreSQL."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.postgres import Postgres
from xemplar.catalog import Catalog, migrate, open_catalog


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(f"test_{secrets.token_hex(6)}")


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """An empty catalog."""
    migrate(url)
    with open_catalog(url) as opened:
        yield opened
