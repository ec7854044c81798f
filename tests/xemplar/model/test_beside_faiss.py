"""PyTorch and FAISS, each of which brings an OpenMP of its own, work in one process."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from tests.xemplar.index.vectors import checkpoint, random_vectors, source
from xemplar.archive.store import Store
from xemplar.index import build, open_generation, publish


def test_torch_and_faiss_work_in_one_process(tmp_path: Path) -> None:
    store, vectors = Store(tmp_path), random_vectors(300)
    ids = np.arange(300, dtype=np.int64)
    before = torch.ones(256, 256) @ torch.ones(256, 256)
    publish(store, build(store, checkpoint(), source(ids, vectors), factory="IVF4,SQ8").name)
    generation = open_generation(store, checkpoint())

    def both(number: int) -> int:
        assert torch.equal(torch.ones(256, 256) @ torch.ones(256, 256), before)
        return int(generation.search(vectors[number], 1).ids[0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(both, range(100))) == list(range(100))
