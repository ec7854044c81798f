"""A store with known images, and the service on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.system.clients import NEVER_BUSY
from tests.system.common import Process, Service, index_images, phantom_store, save_tiny_checkpoint
from xemplar.archive.store import Store
from xemplar.catalog import case_id_of, open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.model.checkpoint import default_checkpoint, load


@dataclass(frozen=True)
class Site:
    """A store and its content.

    Attributes:
        store: with a live generation.
        checkpoint: used to build it.
        images: case id -> file, for the indexed cases.
    """

    store: Store
    checkpoint: Path
    images: Mapping[str, bytes]


def phantom_site(folder: Path, count: int, database: str = "") -> Site:
    """Index phantoms with a tiny network of random weights."""
    checkpoint = save_tiny_checkpoint(folder / "tiny.safetensors")
    store, images = phantom_store(folder, checkpoint, count, database)
    return Site(store, checkpoint, {_case_id(image): image for image in images})


def real_site(folder: Path, data: Path, count: int) -> Site:
    """Index images spread over a data set's label file with the shipped network."""
    images, store = open_dataset(data).images, Store(folder / "store")
    chosen, checkpoint = images[:: max(1, len(images) // count)][:count], default_checkpoint()
    index_images(chosen, store, checkpoint)
    with open_catalog(store.database_url) as catalog:
        indexed = catalog.embedded(load(checkpoint).digest)  # an image may be unreadable
    read = (image.path.read_bytes() for image in chosen)
    known = {image: sha256(image).hexdigest() for image in read}
    return Site(
        store,
        checkpoint,
        {case_id_of(digest): image for image, digest in known.items() if digest in indexed},
    )


def _case_id(image: bytes) -> str:
    return case_id_of(sha256(image).hexdigest())


@contextmanager
def serving(site: Site, folder: Path) -> Iterator[str]:
    """Run the service and a worker on a store as processes; yield the address."""
    store, checkpoint = site.store, site.checkpoint
    log = folder / "service.log"
    service = Service(store, checkpoint, log, 0, **NEVER_BUSY)
    options = ("--store", store.root, "--index-url", store.index_url, "--checkpoint", checkpoint)
    speed = ("--threads", "1", "--precision", "float32")
    worker = Process(folder / "worker.log", "worker", *options, *speed)
    try:
        service.wait_until_ready()
        yield service.url
    finally:
        worker.stop()
        service.stop()
