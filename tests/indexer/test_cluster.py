"""The index job on a real Ray cluster: the plain job's catalog, whoever is killed meanwhile."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from tests.agreement import PATIENCE, assert_agree, wait_until
from tests.images import drawn_image, encoded
from tests.system.common import Process, free_port
from tests.xemplar.indexing.test_job import data_set
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import CaseRow, EmbeddingRow, FindingRow
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import keep, load
from xemplar.model.encoder import Precision

pytest.importorskip("ray", reason="Ray is not installed: make engines")

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("default")]  # Ray's own

IMAGES = 96
KEPT = IMAGES - 3
"""Without an unreadable file, a file that is there twice, and a second file of one image."""


@dataclass
class Cluster:
    """A cluster of this machine, and what a process needs to use it."""

    address: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four processors, so two actors."""
    folder = tmp_path_factory.mktemp("ray")
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONWARNINGS": "ignore",
    }
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
        log = folder / "log"
        with log.open("wb") as file:
            started = subprocess.Popen(
                [*command, *(f"{name}={value}" for name, value in options.items())],
                stdout=file,
                stderr=file,
                env=os.environ | environment,
                start_new_session=True,
            )
        while started.poll() is None and b"Ray runtime started" not in log.read_bytes():
            time.sleep(0.1)
        if started.poll() is None:
            break
        assert time.monotonic() - began < PATIENCE, log.read_text()[-2000:]
    yield Cluster(address, environment)
    os.killpg(started.pid, signal.SIGTERM)
    started.wait(PATIENCE)
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with an unreadable file, a file that is there twice, an image in two files."""
    root = data_set(tmp_path_factory.mktemp("images") / "ward", range(IMAGES))
    (root / "5.png").write_bytes(b"no image")
    (root / "9.png").write_bytes((root / "8.png").read_bytes())
    (root / "11.png").write_bytes(encoded(drawn_image(10), "TIFF"))
    return root


class IndexJob:
    """``xemplar index`` on a store of its own, as a process."""

    def __init__(self, root: Path, checkpoint: Path, folder: Path) -> None:
        self.store = Store(root / "store")
        self.log = root / "log"
        self.checkpoint = keep(checkpoint, self.store)
        self.store.pseudonym_key.write_bytes(b"k" * 32)  # equal pseudonyms in all stores
        migrate(self.store.database_url)
        options = ("--store", self.store.root, "--checkpoint", checkpoint)
        one = ("--precision", "float32", "--threads", "1")
        self._command = ("index", folder, *options, *one)

    def start(self, cluster: Cluster | None = None) -> Process:
        if cluster is None:
            return Process(self.log, *self._command)
        return Process(self.log, *self._command, "--ray", cluster.address, **cluster.environment)

    def run(self, cluster: Cluster | None = None) -> str:
        return finished(self.start(cluster))

    @property
    def cases(self) -> int:
        """In the catalog."""
        with open_catalog(self.store.database_url) as catalog:
            return catalog.count()


def finished(process: Process) -> str:
    """What a job has said, once it has ended well."""
    wait_until(lambda: not process.lives, 0.1)
    assert process.wait() == 0, process.said
    return process.said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, folder: Path, tiny_checkpoint: Path) -> Store:
    """A store that the plain job filled."""
    job = IndexJob(tmp_path_factory.mktemp("plain"), tiny_checkpoint, folder)
    assert f"{KEPT} images embedded" in job.run()
    return job.store


@pytest.fixture
def job(tmp_path: Path, folder: Path, tiny_checkpoint: Path) -> IndexJob:
    return IndexJob(tmp_path, tiny_checkpoint, folder)


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All that a catalog says of its cases, but when; the network's numbers apart."""
    apart = {"created_at", "vector", "logits", "cams", "change"}
    found = {}
    with open_catalog(store.database_url) as catalog, reading(catalog.engine) as connection:
        for table in (CaseRow, FindingRow, EmbeddingRow):
            columns = [column for column in table.__table__.columns if column.name not in apart]
            query = select(*columns).order_by(*table.__table__.primary_key)
            found[table.__tablename__] = [tuple(row) for row in connection.execute(query)]
    return found


def check_same(store: Store, plain: Store) -> None:
    """Compare two stores row for row, embeddings within rounding, pictures bit for bit."""
    assert rows(store) == rows(plain)
    query = select(EmbeddingRow.vector).order_by(EmbeddingRow.case)
    vectors = []
    for one in (store, plain):
        with open_catalog(one.database_url) as catalog, reading(catalog.engine) as connection:
            stored = connection.scalars(query).all()
        vectors.append(np.frombuffer(b"".join(stored), "<f4"))
    assert_agree(*vectors)
    media, wanted = Media(store.media), Media(plain.media)
    for row in rows(plain)["cases"]:
        sha256 = str(row[2])
        assert media.display_bytes(sha256) == wanted.display_bytes(sha256)


def actors() -> set[int]:
    """Process ids of the cluster's actors that read and embed."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes().startswith(b"ray::MapWorker"):
                found.add(int(file.parent.name))
        except OSError:
            continue  # it has just ended
    return found


def test_the_catalog_is_the_plain_job_s_row_for_row(
    cluster: Cluster, job: IndexJob, plain: Store
) -> None:
    said = job.run(cluster)
    assert f"{KEPT} images embedded" in said
    assert "1 embedded before, 2 left out" in said
    assert "is live" in said
    check_same(job.store, plain)
    assert f"{KEPT + 1} embedded before" in job.run(cluster)  # nothing is embedded twice
    check_same(job.store, plain)


def test_killed_actors_lose_nothing(cluster: Cluster, job: IndexJob, plain: Store) -> None:
    process = job.start(cluster)
    wait_until(lambda: any(job.store.media.rglob("*.*")), 0.005)
    assert job.cases < KEPT
    killed = actors()
    for one in killed:  # each of them in the middle of its work
        os.kill(one, signal.SIGKILL)
    assert killed
    assert f"{KEPT} images embedded" in finished(process)
    check_same(job.store, plain)


def test_a_killed_command_goes_on_where_it_was(
    cluster: Cluster, job: IndexJob, plain: Store
) -> None:
    process = job.start(cluster)
    wait_until(lambda: job.cases > 0 or not process.lives, 0.01)
    process.kill()
    kept = job.cases
    assert kept > 0
    assert f"{KEPT - kept} images embedded" in job.run(cluster)
    check_same(job.store, plain)


def test_no_cluster_is_told_in_one_line(job: IndexJob) -> None:
    process = job.start(Cluster("127.0.0.1:1", {}))
    wait_until(lambda: not process.lives, 0.1)
    assert process.wait() == 1
    assert "error ConfigurationError: the Ray cluster 127.0.0.1:1 cannot be used" in process.said
    assert "Traceback" not in process.said


def test_a_machine_that_does_not_see_the_store_says_so(job: IndexJob) -> None:
    from xemplar_indexer.cluster import Embedder, EmbeddingTask

    digest = load(job.checkpoint).digest
    paths = {"number": np.arange(2), "path": np.array(["a.png", "b.png"])}
    for root in (job.store.root, job.store.root / "none"):
        task = EmbeddingTask(
            store=root,
            proof=("one", "another"),
            checkpoint=digest,
            precision=Precision.FLOAT32,
            threads=1,
            decode_seconds=60,
            any_body_part=False,
            burned_in_text=False,
            viewer_url="",
        )
        for error in Embedder(task, frozenset())(paths)["read"]:
            assert isinstance(error, ConfigurationError)
            assert "mount it, and the folders of images, on every machine" in str(error)
    assert not (job.store.root / "none").exists()
