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

FLAT_LIMIT = 100_000
"""Cases up to which comparing all of them is faster than the network's forward pass."""

CANDIDATES = 4
"""Candidates for each neighbour wanted, which make up for the quantised vectors' errors."""

LEAST_CANDIDATES = 64

TRAINED_ON = 40
"""Vectors for each list that the lists are trained on; FAISS asks for 39."""

INVERTED = re.compile(r"IVF([1-9][0-9]{0,6}),SQ8")

SAME = {"IDMap2,Flat": FLAT, "Flat,IDMap2": FLAT}
"""Earlier names, which older jobs and scripts use."""


def known_factory(factory: str) -> str:
    """Return a FAISS factory string that an index of cases can be built with, or `AUTO`.

    Raises:
        ConfigurationError: it is another one. Graphs (HNSW) lose neighbours under a filter, and
            every catalog can be filtered.
    """
    factory = SAME.get(factory, factory)
    if factory in (AUTO, FLAT) or INVERTED.fullmatch(factory):
        return factory
    why = "is a graph, which loses neighbours under a filter" if "HNSW" in factory else "is unknown"
    raise ConfigurationError(
        f"index {factory[:60]!r} {why}; use {AUTO!r}, {FLAT!r} (exact), or inverted lists such as "
        "'IVF2048,SQ8'"
    )


def factory_for(count: int) -> str:
    """Return the FAISS factory string for a number of cases."""
    return FLAT if count <= FLAT_LIMIT else f"IVF{round(2 * count**0.5)},SQ8"


class InvertedFile:
    """Inverted lists of row numbers. Safe to share between threads."""

    def __init__(self, index: faiss.IndexIVF) -> None:
        self._index = index
        lists = faiss.downcast_InvertedLists(index.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            lists.prefetch_nthread = 0  # else each search starts 32 threads

    @classmethod
    def build(cls, vectors: Matrix, factory: str, seed: int = 0) -> "InvertedFile":
        """Train inverted lists on a sample of vectors, float32 (n, C), and add all of them.

        Raises:
            ConfigurationError: there are fewer vectors than lists.
        """
        lists = _lists_of(factory)
        if lists > len(vectors):
            raise ConfigurationError(
                f"{factory!r} has {lists:,} lists for {len(vectors):,} cases; use fewer lists, or "
                f"{AUTO!r}"
            )
        index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        size = min(len(vectors), TRAINED_ON * lists)
        rows = np.random.default_rng(seed).choice(len(vectors), size, replace=False)
        index.train(vectors[np.sort(rows)])
        for start in range(0, len(vectors), BLOCK):
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
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise CorruptArtefact(
                f"{path} holds no index that FAISS can read; run `xemplar reindex` to build a new "
                "generation"
            ) from error
        lists = _lists_of(factory)
        found = (getattr(index, "nlist", 0), index.metric_type, index.ntotal, index.d)
        if found != (lists, faiss.METRIC_INNER_PRODUCT, *shape):
            raise CorruptArtefact(
                f"{path} has (lists, metric, cases, dimension) {found}, not those of {factory}; "
                "run `xemplar reindex` to build a new generation"
            )
        return cls(index)

    def write(self, path: Path) -> None:
        """Write the lists to a new file; Python writes, so that a full disk is an `OSError`."""
        with path.open("xb") as out:
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(out.write))

    @property
    def lists(self) -> int:
        """Number of lists."""
        count: int = self._index.nlist
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
        wanted = min(max(CANDIDATES * k, LEAST_CANDIDATES), self._index.ntotal)
        parameters = faiss.SearchParametersIVF(**options)
        rows: npt.NDArray[np.int64] = self._index.search(queries, wanted, params=parameters)[1]
        return rows


def _lists_of(factory: str) -> int:
    found = INVERTED.fullmatch(factory)
    if found is None:
        raise ConfigurationError(f"{factory[:60]!r} has no inverted lists")
    return int(found[1])
