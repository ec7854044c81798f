"""Shared fixtures: a tiny seeded network, servers of PostgreSQL and Milvus, real data if any."""

import gc
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

from tests.agreement import PATIENCE
from tests.images import TINY, seeded_weights
from tests.networks import compiled_once
from tests.stores import SmallStore, catalog_in, small_store
from tests.system.milvus import Milvus, NoMilvus
from tests.system.postgres import NoPostgres, Postgres
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate
from xemplar.data.findings import NIH14
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Calibration, Card, Checkpoint, load, save

# CI must not fail by the luck of a draw; `make explore` looks for new examples
# no deadline: on a machine that is busy a test is slow, and not wrong
settings.register_profile("fixed", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_collection_finish() -> None:
    """Leaves modules and tests, which stay, out of every garbage collection that follows."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _safe_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoes what `xemplar.__main__.main` sets for the processes that it starts."""
    monkeypatch.setenv("PYTHONSAFEPATH", "")


@pytest.fixture(autouse=True, scope="session")
def _one_thread_in_faiss() -> Iterator[None]:
    """Threads wait for one another at each of hundreds of small steps; beside other tests, long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xemplar.index.builder._all_processors", nullcontext)
        yield


@pytest.fixture(autouse=True, scope="session")
def _networks_compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xemplar.model.encoder.OpenVinoBackend", compiled_once())
        yield


@pytest.fixture(scope="session")
def milvus() -> Iterator[Milvus]:
    """A Milvus server, of which there can be one at a time; see `make engines`."""
    try:
        server = Milvus()
    except NoMilvus as reason:
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny DenseNet (64 pixels, NIH's findings) with non-trivial statistics and calibration."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    calibration = tuple(Calibration(1.0, 0.1 * n, 0.3) for n in range(len(NIH14)))
    card = Card(NIH14, PreprocessSpec(size=64), TINY, calibration)
    save(path, card, seeded_weights(TINY, len(NIH14)))
    return path


@pytest.fixture(scope="session")
def tiny(tiny_checkpoint: Path) -> Checkpoint:
    """The tiny checkpoint, loaded."""
    return load(tiny_checkpoint)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database: to copy it is much faster than to migrate another one."""
    file = tmp_path_factory.mktemp("migrated") / "catalog.sqlite"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with nothing in it."""
    return Store(tmp_path / "store")


@pytest.fixture
def catalog(store: Store, sqlite_template: Path) -> Iterator[Catalog]:
    """The empty catalog of that store; some folders' tests mean another one by it."""
    with catalog_in(store, sqlite_template) as opened:
        yield opened


@pytest.fixture
def own(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    """A small store that a test may change."""
    return small_store(tmp_path, tiny_checkpoint)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that XEMPLAR_DATA names (or its parent, if it names one set)."""
    named = os.environ.get("XEMPLAR_DATA")
    if not named:
        pytest.skip("XEMPLAR_DATA is not set: no real images here")
    folder = Path(named)
    return folder if (folder / "nih14").is_dir() else folder.parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, where one can be started.

    Where the machine is busy it is slow to answer, and not gone.
    """
    try:
        server = Postgres()
    except NoPostgres as reason:
        pytest.skip(str(reason))
    with server, pytest.MonkeyPatch.context() as patch:
        for limit in ("ANSWER_SECONDS", "CONNECT_SECONDS"):
            patch.setattr(f"xemplar.catalog.postgres.{limit}", int(PATIENCE))
        yield server
