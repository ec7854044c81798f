"""Databases: tests that use them run on SQLite and PostgreSQL."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.postgres import Postgres
from xemplar.catalog import Catalog, migrate, open_catalog

TEMPLATE = "migrated"


@contextmanager
def temporary_database(server: Postgres, template: str = "template1") -> Iterator[str]:
    """A database that is dropped at once: hundreds of them are gigabytes."""
    url = server.create(f"test_{secrets.token_hex(6)}", template)
    yield url
    server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Kind of the database."""
    kind: str = request.param
    return kind


@pytest.fixture
def url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    else:
        with temporary_database(request.getfixturevalue("postgres")) as made:
            yield made


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """A migrated database in PostgreSQL."""
    migrate(postgres.create(TEMPLATE))
    return TEMPLATE


@contextmanager
def empty_catalog(request: pytest.FixtureRequest, backend: str, folder: Path) -> Iterator[str]:
    """URL of a database with an empty catalog, which is SQLite's in a folder."""
    if backend == "sqlite":
        file = folder / "catalog.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
    else:
        template = request.getfixturevalue("postgres_template")
        with temporary_database(request.getfixturevalue("postgres"), template) as made:
            yield made


@pytest.fixture
def migrated(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> Iterator[str]:
    """URL of a database with an empty catalog."""
    with empty_catalog(request, backend, tmp_path) as made:
        yield made


@pytest.fixture
def catalog(migrated: str) -> Iterator[Catalog]:
    """An empty catalog."""
    with open_catalog(migrated) as opened:
        yield opened
