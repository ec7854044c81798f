"""Generations of earlier versions, whose vectors are in a FAISS index, answer as before."""

from pathlib import Path

import numpy as np
import pytest

from tests.xemplar.index.test_search import brute_force, opened
from tests.xemplar.index.vectors import checkpoint, random_vectors, to_first_schema
from xemplar.archive.store import Store
from xemplar.errors import CorruptArtefact
from xemplar.index import check_files, current, generations, open_generation, publish, read_manifest

IDS = np.arange(5, 405, dtype=np.int64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    opened(store, IDS, random_vectors(400))
    return store


@pytest.mark.parametrize(
    "factory", ["IDMap2,Flat", "IVF4,Flat", "IDMap2,IVF4,Flat", "IDMap2,HNSW16"]
)
def test_any_kind_of_index_is_searched_exactly(store: Store, factory: str) -> None:
    to_first_schema(store, current(store), factory)
    generation, vectors = open_generation(store, checkpoint()), random_vectors(400)
    for query in random_vectors(10, seed=1):
        hits = generation.search(query, 10, {5, 45}, IDS[::3])
        wanted = brute_force(IDS, vectors, query, 10, {5, 45}, set(map(int, IDS[::3])))
        assert (hits.ids.tolist(), hits.similarity.tolist()) == wanted
        assert hits.recall_at_10 == 1.0
    np.testing.assert_array_equal(generation.vector(9), vectors[4])
    np.testing.assert_array_equal(generation.logits(9), np.float32([9, -9]))


def test_it_can_be_listed_and_gone_back_to(store: Store) -> None:
    old = current(store)
    to_first_schema(store, old)
    new = opened(store, IDS, random_vectors(400))
    assert [one.name for one in generations(store)] == [old, new.name]
    check_files(store.generations / old, read_manifest(store.generations / old))
    publish(store, old)
    assert open_generation(store, checkpoint()).name == old


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_index_is_refused(store: Store, damage: str) -> None:
    to_first_schema(store, current(store))
    path = store.generations / current(store) / "index.faiss"
    content = path.read_bytes()
    path.write_bytes(content[:100] if damage == "cut" else bytes(len(content)))
    with pytest.raises(CorruptArtefact, match=r"index\.faiss .*run `xemplar (re)?index`"):
        open_generation(store, checkpoint())
