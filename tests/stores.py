"""A small store, made by the real index job, that tests of retriever and service ask."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.images import drawn_image, encoded
from xemplar.archive.permissions import make_folder
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate, open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.model.calibration import Population
from xemplar.model.checkpoint import load, save
from xemplar.model.encoder import Precision, open_encoder

CASES = 12
FINDINGS = ("Effusion", "Mass|Nodule", "No Finding", "")
PATIENT = "surname-{}"
THRESHOLDS = (0.0, 1.0)
"""Of every other finding in turn, so that some are always called and some hardly ever."""

NEVER = "Pneumothorax"
"""The last finding, which has no threshold."""

BASE_RATES = (0.05, 0.3)
"""In the same turn, so that the explained finding is a called one."""


@dataclass(frozen=True)
class SmallStore:
    """A published store of `CASES` images.

    Attributes:
        store: where it lies.
        checkpoint: file of the checkpoint that it was made with.
        images: the indexed files' bytes, in the order of labels.csv. The first is the largest.
    """

    store: Store
    checkpoint: Path
    images: tuple[bytes, ...]


@contextmanager
def catalog_in(store: Store, template: Path) -> Iterator[Catalog]:
    """The empty catalog of a store that has none: a copy of a migrated database."""
    make_folder(store.root)
    shutil.copyfile(template, store.root / template.name)
    with open_catalog(store.database_url) as opened:
        yield opened


def small_store(root: Path, tiny_checkpoint: Path) -> SmallStore:
    """A store under ``root`` that a test may change: a copy of one that is built once."""
    built = _built(tiny_checkpoint)
    store, checkpoint = root / built.store.root.name, root / built.checkpoint.name
    shutil.copytree(built.store.root, store)
    shutil.copyfile(built.checkpoint, checkpoint)
    return SmallStore(Store(store), checkpoint, built.images)


@cache
def _built(tiny_checkpoint: Path) -> SmallStore:
    """Index `CASES` drawn images, with the calibration above, beside the tiny checkpoint."""
    root = tiny_checkpoint.parent / "small"
    root.mkdir()
    tiny, checkpoint = load(tiny_checkpoint), root / "checkpoint.safetensors"
    calibration = tuple(
        replace(
            c, threshold=None if name == NEVER else THRESHOLDS[n % 2], base_rate=BASE_RATES[n % 2]
        )
        for n, (name, c) in enumerate(zip(tiny.card.findings, tiny.card.calibration, strict=True))
    )
    population = Population("drawn", images=8, labelled=CASES, ill=0.5)
    card = replace(tiny.card, calibration=calibration, population=population)
    save(checkpoint, card, tiny.weights)
    images = (
        encoded(drawn_image(0, 700, 560)),
        *(encoded(drawn_image(n)) for n in range(1, CASES)),
    )
    folder = root / "drawn"
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient_id", "view", "sex", "age", "findings", "split"])
        for n, image in enumerate(images):
            (folder / f"image-{n}.png").write_bytes(image)
            about = [PATIENT.format(n), "PA", "FM"[n % 2], 30 + n, FINDINGS[n % 4], "train"]
            rows.writerow([f"image-{n}.png", *about])
    store, loaded = Store(root / "store"), load(checkpoint)
    migrate(store.database_url)
    encoder = open_encoder(loaded, precision=Precision.FLOAT32)
    with open_catalog(store.database_url) as catalog:
        embed_images(open_dataset(folder).images, store, catalog, encoder)
        build_generation(store, catalog, loaded)
    return SmallStore(store, checkpoint, images)
