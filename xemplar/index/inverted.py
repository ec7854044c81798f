"""`InvertedFile`: FAISS's inverted lists of rows, which find candidates quickly.

Vectors are quantised in it; candidates are compared by their vectors (`xemplar.index.exact`).
"""

import re
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.index.exact import BLOCK, Mask, Matrix, Rows

AUTO = "auto"
FLAT = "Flat"
SQ8 = "SQ8"

FLAT_LIMIT = 100_000
"""Cases up to which comparing all of them is faster than the network's forward pass."""

CANDIDATES = 20
"""Candidates for each neighbour wanted, which make up for what projection and quantiser lose; of
codes of four bits twice as many."""

LEAST_CANDIDATES = 200

TRAINED_ON = 40
"""Vectors for each list that the lists are trained on; FAISS asks for 39."""

PROJECTED = 128
"""Numbers of a vector in the lists: as many fewer bytes are read."""

OF_CODES, OF_VECTORS = f"PCA{PROJECTED},IVF2048,{SQ8}", f"IVF2048,{FLAT}"
"""Examples of lists of codes, as files have, and of vectors themselves, as Milvus has."""

INVERTED = re.compile(
    rf"(?:PCA([1-9][0-9]{{0,3}}),)?IVF([1-9][0-9]{{0,6}}),({FLAT}|{SQ8}|PQ[1-9][0-9]{{0,2}}x4fs)"
)

SAME = {"IDMap2,Flat": FLAT, "Flat,IDMap2": FLAT}
"""Earlier names, which older jobs and scripts use."""


def known_factory(factory: str, *, codes: bool = True) -> str:
    """Return a FAISS factory string that an index of cases can be built with, or `AUTO`.

    Args:
        factory: the string.
        codes: whether inverted lists hold codes of vectors, perhaps projected, instead of vectors.

    Raises:
        ConfigurationError: it is another one. Graphs (HNSW) lose neighbours under a filter, and
            every catalog can be filtered.
    """
    factory = SAME.get(factory, factory)
    named = INVERTED.fullmatch(factory)
    fits = named is not None and (named[3] != FLAT) == codes and (codes or not named[1])
    if fits or factory in (AUTO, FLAT):
        return factory
    why = "is a graph, which loses neighbours under a filter" if "HNSW" in factory else "is unknown"
    raise ConfigurationError(
        f"index {factory[:60]!r} {why}; use {AUTO!r}, {FLAT!r} (exact), or inverted lists such as "
        f"{OF_CODES if codes else OF_VECTORS!r}"
    )


def factory_for(count: int, dimension: int, *, codes: bool = True) -> str:
    """Return the FAISS factory string for so many vectors (count, dimension).

    Args:
        count: number of vectors.
        dimension: their size.
        codes: as in `known_factory`.
    """
    if count <= FLAT_LIMIT:
        return FLAT
    lists, kept = f"IVF{round(2 * count**0.5)}", min(dimension, PROJECTED)
    if not codes:
        return f"{lists},{FLAT}"
    return f"PCA{kept},{lists},{SQ8}" if kept < dimension else f"{lists},{SQ8}"


class InvertedFile:
    """Inverted lists of row numbers. Safe to share between threads."""

    def __init__(self, index: faiss.Index) -> None:
        """Wrap a trained FAISS index: inverted lists, perhaps behind a projection."""
        self._index = index
        self._ivf = faiss.extract_index_ivf(index)
        is_coarse = isinstance(faiss.downcast_index(self._ivf), faiss.IndexIVFPQFastScan)
        self._times = 2 if is_coarse else 1
        lists = faiss.downcast_InvertedLists(self._ivf.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            lists.prefetch_nthread = 0  # else each search starts 32 threads

    @classmethod
    def build(cls, vectors: Matrix, factory: str, seed: int = 0) -> "InvertedFile":
        """Train inverted lists on a sample of vectors, float32 (n, C), and add all of them.

        Raises:
            ConfigurationError: there are fewer vectors than lists, the projection has no fewer
                numbers than the vectors, or they cannot be divided as the codes need.
        """
        projected, lists = sizes_of(factory)
        count, dimension = vectors.shape
        code = factory.rpartition(",")[2]
        parts = int(code[2:-4]) if code.startswith("PQ") else 1
        if lists > count or projected >= dimension or (projected or dimension) % parts:
            raise ConfigurationError(
                f"{factory!r} does not suit {count:,} vectors of {dimension} numbers: there must "
                f"be no more lists, and fewer numbers, that PQ divides evenly; use {AUTO!r}"
            )
        kept = np.random.default_rng(seed).choice(count, min(count, TRAINED_ON * lists), False)
        sample = vectors[np.sort(kept)]
        metric = faiss.METRIC_INNER_PRODUCT
        index = faiss.index_factory(projected or dimension, f"IVF{lists},{code}", metric)
        if projected:
            projection = _projection(sample, projected)
            index.train(projection.apply(sample))
            index = faiss.IndexPreTransform(projection, index)
        else:
            index.train(sample)
        for start in range(0, count, BLOCK):
            index.add(vectors[start : start + BLOCK])
        return cls(index)

    @classmethod
    def open(cls, path: Path, factory: str, shape: tuple[int, ...]) -> "InvertedFile":
        """Map the lists of a file, which stay on disk until they are searched.

        Args:
            path: of the file.
            factory: FAISS factory string of the lists.
            shape: of their vectors, (n, C).

        Raises:
            CorruptArtefact: the file cannot be read, or its lists are others.
        """
        projected, lists = sizes_of(factory)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
            ivf = faiss.extract_index_ivf(index)
        except RuntimeError as error:
            raise CorruptArtefact(
                f"{path} holds no inverted lists that FAISS can read; run `xemplar reindex` to "
                "build a new generation"
            ) from error
        found = (ivf.nlist, ivf.metric_type, index.ntotal, index.d, ivf.d)
        if found != (lists, faiss.METRIC_INNER_PRODUCT, *shape, projected or shape[1]):
            raise CorruptArtefact(
                f"{path} has (lists, metric, cases, numbers, of them in lists) {found}, not those "
                f"of {factory}; run `xemplar reindex` to build a new generation"
            )
        return cls(index)

    def write(self, path: Path) -> None:
        """Write the lists to a new file; Python writes, so that a full disk is an `OSError`."""
        with path.open("xb") as out:
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(out.write))

    @property
    def lists(self) -> int:
        """Number of lists."""
        count: int = self._ivf.nlist
        return count

    def candidates(self, queries: Matrix, k: int, nprobe: int, allowed: Mask | None = None) -> Rows:
        """Find rows among which most of the k nearest are.

        Args:
            queries: float32 (queries, C).
            k: number of neighbours wanted.
            nprobe: lists that each search visits.
            allowed: bool (n,), the rows to consider; None for all.

        Returns:
            int64 (queries, m), in no order; -1 where fewer are found.
        """
        # settings on the index would be shared by all threads
        options = {"nprobe": nprobe}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        parameters = faiss.SearchParametersIVF(**options)
        if self._ivf.d < self._index.d:
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        wanted = min(self._times * max(CANDIDATES * k, LEAST_CANDIDATES), self._index.ntotal)
        rows: npt.NDArray[np.int64] = self._index.search(queries, wanted, params=parameters)[1]
        return rows


def sizes_of(factory: str) -> tuple[int, int]:
    """Return the numbers of a projected vector, 0 for no projection, and the number of lists.

    Raises:
        ConfigurationError: the factory string names no inverted lists.
    """
    found = INVERTED.fullmatch(factory)
    if found is None:
        raise ConfigurationError(f"{factory[:60]!r} has no inverted lists")
    return int(found[1] or 0), int(found[2])


def _projection(sample: Matrix, size: int) -> faiss.LinearTransform:
    """Project on the directions of the largest second moments, which keeps inner products best.

    FAISS's PCA subtracts the mean, and so changes the order of inner products. (Eckart & Young,
    Psychometrika 1936.)
    """
    _, directions = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    found = faiss.LinearTransform(sample.shape[1], size, False)
    largest = np.ascontiguousarray(directions[:, ::-1][:, :size].T, np.float32)
    faiss.copy_array_to_vector(largest.ravel(), found.A)
    found.is_trained = True
    return found
