"""Embeddings and a checkpoint for tests of the index; no network is needed."""

import json
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.archive.store import Store
from xemplar.catalog import Batch
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.index import FileRecord
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import Architecture

FINDINGS = ("Edema", "Mass")
TINY = Architecture(growth=4, blocks=(1, 1, 1, 1), stem=8)
SIZE = TINY.embedding_size


def checkpoint(digest: str = "1" * 64, size: int = 64) -> Checkpoint:
    return Checkpoint(Card(FINDINGS, PreprocessSpec(size=size), TINY), {}, digest)


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def random_vectors(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """float32 (count, SIZE), unit, >= 0 as embeddings are."""
    return unit(np.random.default_rng(seed).random((count, SIZE)) + 1e-3)


def source(
    ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], size: int = 7
) -> Callable[[], Iterator[Batch]]:
    """All of it in batches; logits and maps say which case they belong to."""

    def batches() -> Iterator[Batch]:
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            logits = np.stack([some, -some], axis=1).astype(np.float32)
            cams = np.broadcast_to(some[:, None, None, None] % 100, (len(some), 2, 2, 2))
            yield Batch(some, vectors[start : start + size], logits, cams.astype(np.float16))

    return batches


def to_first_schema(store: Store, name: str, factory: str = "IDMap2,Flat") -> None:
    """Rewrite a generation as earlier versions wrote it: its vectors are in a FAISS index."""
    folder = store.generations / name
    ids, vectors = np.load(folder / "ids.npy"), np.load(folder / "vectors.npy")
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add_with_ids(vectors, ids)
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        lists.set_direct_map_type(faiss.DirectMap.Hashtable)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "vectors.npy").unlink()
    written = json.loads((folder / "manifest.json").read_bytes())
    files = {
        file: vars(FileRecord.of(folder / file))
        for file in ("index.faiss", "ids.npy", "logits.npy", "cams.npy")
    }
    written |= {"schema": 1, "factory": factory, "nprobe": 0, "files": files}
    del written["automatic"], written["probes"]
    (folder / "manifest.json").write_text(json.dumps(written))
