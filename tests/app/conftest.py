"""The service on a small store that the real index job made."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.exceptions import StarletteDeprecationWarning

from app.main import create_app, open_retriever
from app.settings import Settings
from tests.stores import SmallStore, small_store
from xemplar.encoder import Precision
from xemplar.retriever import Retriever

with warnings.catch_warnings():
    # it asks for httpx2 in place of httpx; imported here first, it is quiet everywhere else
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient

MAX_BYTES = 3_000_000


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


@pytest.fixture(scope="session")
def settings(small: SmallStore) -> Settings:
    return Settings(
        store=small.store.root,
        checkpoint=small.checkpoint,
        precision=Precision.FLOAT32,
        max_upload_bytes=MAX_BYTES,
        recent_queries=1000,
    )


@pytest.fixture(scope="session")
def retriever(settings: Settings) -> Retriever:
    return open_retriever(settings)


@pytest.fixture(scope="session")
def client(settings: Settings, retriever: Retriever) -> Iterator[TestClient]:
    """An error that the service does not answer fails the test: it is raised here."""
    with TestClient(create_app(settings, retriever)) as one:
        yield one
