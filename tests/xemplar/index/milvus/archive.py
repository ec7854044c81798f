"""Cases that differ in everything, in a catalog and in a generation of Milvus."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tests.xemplar.catalog.test_filters import described
from tests.xemplar.index.vectors import checkpoint, random_vectors
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, Entry, case_id_of
from xemplar.index import SearchableGeneration, build, open_generation, publish

DIGEST = checkpoint().digest
CASES, DISTINCT = 300, 60
VECTORS = random_vectors(DISTINCT)[np.random.default_rng(1).integers(0, DISTINCT, 2 * CASES)]
"""Of cases by their numbers; few distinct ones, so that ties are common."""


def entry(number: int) -> Entry:
    about = described(number)
    return replace(
        about, vector=VECTORS[number], logits=np.float32([number, -number]), cams=about.cams
    )


def case_id(number: int) -> str:
    return case_id_of(described(number).image_sha256)


def add(catalog: Catalog, numbers: range) -> None:
    catalog.add(DIGEST, [entry(number) for number in numbers])


def embeddings(
    catalog: Catalog,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    batches = list(catalog.vectors(DIGEST))
    return np.concatenate([b.ids for b in batches]), np.concatenate([b.vectors for b in batches])


def published(store: Store, catalog: Catalog, factory: str = "Flat") -> SearchableGeneration:
    manifest = build(
        store, checkpoint(), lambda: catalog.vectors(DIGEST), catalog=catalog, factory=factory
    )
    publish(store, manifest.name)
    return open_generation(store, checkpoint(), catalog=catalog)
