"""Shared parts of the system tests: a tiny network, a store of phantoms, the service as a process.

The network is tiny, with random weights, so that it costs little time. Everything else is real:
commands, HTTP and store.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table

from tests.agreement import PATIENCE
from tests.images import TINY, encoded, seeded_weights
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.findings import NIH14
from xemplar.errors import XemplarError
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.model.calibration import Calibration
from xemplar.model.checkpoint import Card, keep, load, save
from xemplar.model.encoder import Precision, open_encoder
from xemplar.phantom import write_phantoms
from xemplar.phantom.radiograph import phantom

SIDE = 128
"""Side of a phantom in pixels."""


def save_tiny_checkpoint(path: Path, seed: int = 0) -> Path:
    """Write a tiny network (64 pixels, NIH's findings) with seeded weights."""
    calibration = tuple(Calibration(1.0, 0.1 * n, 0.3) for n in range(len(NIH14)))
    card = Card(NIH14, PreprocessSpec(size=64), TINY, calibration)
    save(path, card, seeded_weights(TINY, len(NIH14), seed))
    return path


def phantoms(seed: int, count: int) -> list[bytes]:
    """Create PNG files of synthetic images, determined by the seed."""
    return [encoded(phantom(number, size=SIDE).pixels) for number in range(seed, seed + count)]


def phantom_store(
    folder: Path, checkpoint: Path, count: int, database: str = ""
) -> tuple[Store, list[bytes]]:
    """Index phantoms into a store below a folder; return the store and the images."""
    write_phantoms(folder / "phantoms", count, size=SIDE)
    images, store = open_dataset(folder / "phantoms").images, Store(folder / "store")
    index_images(images, store, checkpoint, database)
    return store, [image.path.read_bytes() for image in images]


def index_images(
    images: Sequence[DatasetImage], store: Store, checkpoint: Path, database: str = ""
) -> None:
    """Embed images and publish a generation of them; ``database`` empty for SQLite in the store."""
    loaded, url = load(keep(checkpoint, store)), database or store.database_url
    migrate(url)
    encoder = open_encoder(loaded, precision=Precision.FLOAT32, threads=1)
    with open_catalog(url) as catalog:
        embed_images(images, store, catalog, encoder)
        build_generation(store, catalog, loaded)


class Process:
    """A subcommand of `xemplar` as a process, with a log file.

    Attributes:
        log: file to which its output is appended.
    """

    def __init__(self, log: Path, *arguments: str | Path, **environment: str) -> None:
        """Start the process without the caller's XEMPLAR variables."""
        self.log = log
        env = {k: v for k, v in os.environ.items() if not k.startswith("XEMPLAR_")}
        command = [sys.executable, "-m", "xemplar", *map(str, arguments)]
        with log.open("ab") as file:
            self._began = file.tell()
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=env | environment
            )

    @property
    def lives(self) -> bool:
        """True while it is running."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def said(self) -> str:
        """Output so far."""
        return self.log.read_bytes()[self._began :].decode(errors="replace")

    def kill(self) -> None:
        """Kill it, as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait until it ends; return its exit status."""
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """Terminate it; return its exit status."""
        self._process.terminate()
        return self._process.wait(PATIENCE)


class Service(Process):
    """The service on a store, without rate limits.

    Attributes:
        url: its address.
    """

    def __init__(
        self, store: Store, checkpoint: Path, log: Path, port: int = 0, **settings: str
    ) -> None:
        """Start it with `SETTINGS` and further variables; ``port`` 0 chooses a free one."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ("--store", store.root, "--checkpoint", checkpoint, "--port", str(self.port))
        settings = SETTINGS | {"XEMPLAR_INDEX_URL": store.index_url} | settings
        super().__init__(log, "serve", *arguments, **settings)

    def wait_until_ready(self) -> None:
        """Wait until it is ready for queries.

        Raises:
            RuntimeError: it ended or took too long; contains the end of its log.
        """
        deadline = time.monotonic() + PATIENCE
        while self.lives and time.monotonic() < deadline:
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5).is_success:
                    return
            except httpx2.TransportError:
                pass  # it does not listen yet
            time.sleep(0.02)
        raise RuntimeError(f"the service at {self.url} is not ready: {self.said[-2000:]}")


SETTINGS = {
    "XEMPLAR_PRECISION": "float32",
    "XEMPLAR_THREADS": "1",
    "XEMPLAR_REQUESTS_PER_SECOND": "0",
}
"""Settings of a tested service: one thread per forward pass, no rate limit."""


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print figures as a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def verdict(faults: Sequence[str]) -> int:
    """Print the first twenty faults; return the exit status."""
    console = Console(highlight=False)
    for fault in faults[:20]:
        console.print(fault, markup=False)
    console.print(f"{len(faults)} faults" if faults else "no fault")
    return 1 if faults else 0


def count_cases(store: Store) -> int:
    """Count the cases in a store; 0 before there is a catalog."""
    try:
        with open_catalog(store.database_url) as catalog:
            return catalog.count()
    except XemplarError:
        return 0
