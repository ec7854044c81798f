"""The index job on a real Ray cluster: the plain job's catalog, whoever is killed meanwhile."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.agreement import PATIENCE, wait_until
from tests.images import drawn_image, encoded
from tests.indexer.test_job import data_set
from tests.system.common import Process, free_port
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import CaseRow, EmbeddingRow, FindingRow
from xemplar.data.datasets import open_dataset
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import keep, load
from xemplar.model.encoder import Precision, open_encoder

pytest.importorskip("ray", reason="Ray is not installed: make engines, or pip install xemplar[ray]")

from xemplar_indexer.cluster import embed_images_on_cluster
from xemplar_indexer.job import IndexingResult, embed_images

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("default")]  # Ray's own

IMAGES = 96


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of this machine, with two actors' processors."""
    folder = tmp_path_factory.mktemp("ray")
    temporary = Path("/tmp") / f"xr-{os.getpid()}"  # noqa: S108 -- paths of sockets are short
    began = time.monotonic()
    while True:  # Ray gives up a start after 30 s, which a busy machine may take
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        options = {
            "--node-ip-address": "127.0.0.1",
            "--port": address.rpartition(":")[2],
            "--num-cpus": "4",
            "--object-store-memory": str(200 * 2**20),
            "--include-dashboard": "false",
            "--temp-dir": str(temporary),
        }
        with (folder / "log").open("ab") as log:
            started = subprocess.Popen(
                [*command, *(f"{name}={value}" for name, value in options.items())],
                stdout=log,
                stderr=log,
                env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"},
                start_new_session=True,
            )
        while started.poll() is None and b"Ray runtime started" not in log_of(folder):
            time.sleep(0.1)
        if started.poll() is None:
            break
        assert time.monotonic() - began < PATIENCE, log_of(folder)[-2000:].decode()
    yield address
    os.killpg(started.pid, signal.SIGTERM)
    started.wait(60)
    shutil.rmtree(temporary, ignore_errors=True)


def log_of(folder: Path) -> bytes:
    return (folder / "log").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with an unreadable file, a file that is there twice, an image in two files."""
    root = data_set(tmp_path_factory.mktemp("images") / "ward", range(IMAGES))
    (root / "5.png").write_bytes(b"no image")
    (root / "9.png").write_bytes((root / "8.png").read_bytes())
    (root / "11.png").write_bytes(encoded(drawn_image(10), "TIFF"))
    return root


Rows = list[tuple[object, ...]]


def rows(store: Store) -> dict[str, Rows]:
    """All that a catalog says of its cases, but when; the numbers of the network apart."""
    found = {}
    with open_catalog(store.database_url) as catalog, reading(catalog.engine) as connection:
        for table, left_out in (
            (CaseRow, {"created_at"}),
            (FindingRow, set()),
            (EmbeddingRow, VALUES),
        ):
            columns = [c for c in table.__table__.columns if c.name not in left_out]
            found[table.__tablename__] = [
                tuple(row) for row in connection.execute(select(*columns).order_by(*columns[:2]))
            ]
    return found


VALUES = {"vector", "logits", "cams"}


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, tiny_checkpoint: Path
) -> tuple[Store, IndexingResult]:
    """A store that the plain job filled."""
    store = new_store(tmp_path_factory.mktemp("plain"), tiny_checkpoint)
    encoder = open_encoder(load(tiny_checkpoint), precision=Precision.FLOAT32, threads=1)
    with open_catalog(store.database_url) as catalog:
        return store, embed_images(open_dataset(folder).images, store, catalog, encoder)


def new_store(root: Path, checkpoint: Path) -> Store:
    store = Store(root / "store")
    keep(checkpoint, store)
    migrate(store.database_url)
    store.pseudonym_key.write_bytes(b"k" * 32)  # equal pseudonyms in all stores
    return store


def on_cluster(
    store: Store, folder: Path, address: str, on_progress: Callable[[int], None] = lambda _: None
) -> IndexingResult:
    (file,) = (store.root / "checkpoints").iterdir()
    with open_catalog(store.database_url) as catalog:
        return embed_images_on_cluster(
            open_dataset(folder).images,
            store,
            catalog,
            load(file),
            address,
            precision=Precision.FLOAT32,
            threads=1,
            on_progress=on_progress,
        )


def check_same(store: Store, plain: Store) -> None:
    """Compare two stores row for row, embeddings within rounding, pictures bit for bit."""
    assert rows(store) == rows(plain)
    with open_catalog(store.database_url) as one, open_catalog(plain.database_url) as other:
        (digest,) = {row[1] for row in rows(plain)["embeddings"]}
        for mine, theirs in zip(one.vectors(str(digest)), other.vectors(str(digest)), strict=True):
            assert abs((mine.vectors * theirs.vectors).sum(axis=1) - 1).max() < 1e-5
    media, wanted = Media(store.media), Media(plain.media)
    for row in rows(plain)["cases"]:
        assert media.display_bytes(str(row[2])) == wanted.display_bytes(str(row[2]))


def actors() -> list[int]:
    """Process ids of the cluster's actors that read and embed."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(file.parent.name))
        except OSError:
            continue  # it has just ended
    return found


def test_the_catalog_is_the_plain_job_s_row_for_row(
    cluster: str,
    folder: Path,
    plain: tuple[Store, IndexingResult],
    tmp_path: Path,
    tiny_checkpoint: Path,
) -> None:
    store, (other, wanted) = new_store(tmp_path, tiny_checkpoint), plain
    found = on_cluster(store, folder, cluster)
    for name in ("embedded", "reused", "unreadable", "copies"):
        assert getattr(found, name) == getattr(wanted, name)
    assert (found.embedded, found.reused, found.copies) == (IMAGES - 3, 1, 1)
    check_same(store, other)
    again = on_cluster(store, folder, cluster)
    assert (again.embedded, again.reused) == (0, found.embedded + 1)
    check_same(store, other)
    assert [path for path in store.root.iterdir() if path.name.startswith(".cluster")] == []


def test_killed_actors_lose_nothing(
    cluster: str,
    folder: Path,
    plain: tuple[Store, IndexingResult],
    tmp_path: Path,
    tiny_checkpoint: Path,
) -> None:
    store, killed = new_store(tmp_path, tiny_checkpoint), list[int]()

    def kill(done: int) -> None:
        if done in (1, 40):
            alive = actors()
            os.kill(alive[0], signal.SIGKILL)
            killed.append(alive[0])

    found = on_cluster(store, folder, cluster, kill)
    assert len(set(killed)) == 2
    assert found.embedded == plain[1].embedded
    check_same(store, plain[0])


def test_a_killed_command_goes_on_where_it_was(
    cluster: str,
    folder: Path,
    plain: tuple[Store, IndexingResult],
    tmp_path: Path,
    tiny_checkpoint: Path,
) -> None:
    store = new_store(tmp_path, tiny_checkpoint)
    options = ("--store", store.root, "--checkpoint", tiny_checkpoint, "--precision", "float32")
    command = ("index", folder, *options, "--threads", "1", "--ray", cluster)

    def cases() -> int:
        with open_catalog(store.database_url) as catalog:
            return len(catalog.embedded(load(tiny_checkpoint).digest))

    first = Process(tmp_path / "log", *command)
    wait_until(lambda: cases() > 0 or not first.lives)
    first.kill()
    kept = cases()
    assert kept > 0
    second = Process(tmp_path / "log", *command)
    assert second._process.wait(PATIENCE) == 0, second.said
    assert cases() == plain[1].embedded >= kept
    check_same(store, plain[0])
    assert "is live" in second.said


def test_a_machine_that_does_not_see_the_store_ends_the_job(
    cluster: str,
    folder: Path,
    tmp_path: Path,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = new_store(tmp_path, tiny_checkpoint)
    monkeypatch.setattr(Path, "touch", lambda self: None)  # what proves the store never appears
    with pytest.raises(ConfigurationError, match=r"does not see the store .* under the same path"):
        on_cluster(store, folder, cluster)


def test_no_cluster_is_told(folder: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    store = new_store(tmp_path, tiny_checkpoint)
    with pytest.raises(ConfigurationError, match=r"the Ray cluster 127\.0\.0\.1:1 cannot be used"):
        on_cluster(store, folder, "127.0.0.1:1")
