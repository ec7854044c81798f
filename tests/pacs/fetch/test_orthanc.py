"""A real archive, fetched by a command; `make thorough` kills it again and again."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.agreement import PATIENCE
from tests.pacs.fetch.conftest import archived
from tests.pacs.fetch.test_fetching import rows
from tests.system.common import Process, count_cases
from tests.system.orthanc import NoOrthanc, Orthanc
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import DatasetImage
from xemplar.indexing.job import embed_images
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision, open_encoder

pytestmark = pytest.mark.system


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Orthanc]:
    (tmp_path / "orthanc").mkdir()
    try:
        orthanc = Orthanc(tmp_path / "orthanc")
    except NoOrthanc as reason:
        pytest.skip(str(reason))
    with orthanc:
        yield orthanc


def wait_until(so: Callable[[], bool], process: Process) -> None:
    """Wait for a condition while a process runs."""
    until = time.monotonic() + PATIENCE
    while not so():
        assert process.lives, process.said
        assert time.monotonic() < until, process.said
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("count", "killed_at"),
    [
        pytest.param(5, (), id="once"),
        pytest.param(40, (1, 20), id="killed twice", marks=pytest.mark.long),
    ],
)
def test_an_archive_is_fetched_by_a_command(
    archive: Orthanc, tmp_path: Path, tiny_checkpoint: Path, count: int, killed_at: tuple[int, ...]
) -> None:
    """With the numbers of cases at which the command is killed."""
    films = [archived(number) for number in range(count)]
    for film in films:
        httpx2.post(f"{archive.url}/instances", content=film, timeout=PATIENCE).raise_for_status()
    store = Store(tmp_path / "store")
    line = ["dicom", "fetch", f"{archive.url}/dicom-web", "--store", store.root]
    line += ["--checkpoint", tiny_checkpoint, "--precision", "float32", "--threads", "1"]
    for number, least in enumerate(killed_at):
        process = Process(tmp_path / f"{number}.log", *line, "--rate", "40", "--no-publish")
        wait_until(lambda least=least: count_cases(store) >= least, process)
        process.kill()
    process = Process(tmp_path / "last.log", *line)
    assert process.wait() == 0, process.said
    assert f"with {count} cases is live" in process.said
    assert "1.2." not in process.said

    plain, paths = Store(tmp_path / "plain"), list[Path]()
    for number, film in enumerate(films):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(film)
    compare(store, plain, paths, tiny_checkpoint)


def compare(store: Store, plain: Store, paths: list[Path], checkpoint: Path) -> None:
    """The catalog is that of the plain index job on the same files."""
    migrate(plain.database_url, plain)
    plain.pseudonym_key.write_bytes(store.pseudonym_key.read_bytes())
    images = [
        DatasetImage(path, "pacs", patient=f"PLANTED-{number}", patients="pacs:PLANTED-ISSUER")
        for number, path in enumerate(paths)
    ]
    encoder = open_encoder(load(checkpoint), precision=Precision.FLOAT32, threads=1)
    with open_catalog(plain.database_url) as catalog, open_catalog(store.database_url) as fetched:
        embed_images(images, plain, catalog, encoder)
        assert rows(fetched) == rows(catalog)
