"""Embeddings of `benchmarks.scale_cases` beside those of real images, in what an index depends on.

    python -m benchmarks.embedding_model archive

Takes up to `MOST` embeddings of a store's live generation and as many modelled ones.
"""

import argparse
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.scale_cases import Embeddings
from xemplar.archive.store import Store
from xemplar.index import open_generation
from xemplar.index.exact import nearest, ranked
from xemplar.index.inverted import InvertedFile
from xemplar.index.recall import QUERIES, K, recall_of
from xemplar.model.checkpoint import load
from xemplar.retrieval.snapshot import live_checkpoint

MOST = 4_000
NEIGHBOURS = 20
"""Neighbours that the local dimension is estimated from."""

SHARES = (1, 4, 16, 32, 64)
"""Inverted lists visited, of 2 sqrt(n)."""


def dimensions(vectors: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Participation ratio of the covariance, and median local intrinsic dimension.

    The latter is the maximum likelihood estimate of Levina & Bickel (NIPS 2004).
    """
    variances = np.linalg.eigvalsh(np.cov(vectors.T))
    cosines = neighbour_cosines(vectors)
    distance = np.sqrt(np.clip(2 - 2 * cosines, 1e-9, None))
    local = -1 / np.log(distance[:, :-1] / distance[:, -1:]).mean(axis=1)
    return variances.sum() ** 2 / (variances**2).sum(), float(np.median(local))


def neighbour_cosines(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cosines to the nearest others, float32 (n, NEIGHBOURS), descending."""
    rows = nearest(vectors, vectors, NEIGHBOURS + 1)[:, 1:]
    cosines: npt.NDArray[np.float32] = np.einsum("nc,nkc->nk", vectors, vectors[rows])
    return cosines


def figures(vectors: npt.NDArray[np.float32]) -> dict[str, str]:
    """Describe embeddings, float32 (n, C), in random order."""
    participation, local = dimensions(vectors)
    cosines = neighbour_cosines(vectors)
    found = {
        "embeddings": f"{len(vectors):,}",
        "participation ratio": f"{participation:.0f}",
        "local intrinsic dimension": f"{local:.0f}",
    }
    for rank in (1, K):
        low, middle, high = np.quantile(cosines[:, rank - 1], (0.05, 0.5, 0.95))
        found[f"cosine of neighbour {rank}: 5, 50, 95 %"] = f"{low:.2f}, {middle:.2f}, {high:.2f}"
    lists = round(2 * len(vectors) ** 0.5)
    inverted = InvertedFile.build(vectors, f"IVF{lists},SQ8")
    own = np.arange(min(QUERIES, len(vectors)))
    truth = nearest(vectors, vectors[own], K + 1)
    for visited in SHARES:
        rows = inverted.candidates(vectors[own], K + 1, visited)
        answers = [
            ranked(vectors, some[some >= 0], vectors[query], K + 1)[0]
            for query, some in zip(own, rows, strict=True)
        ]
        found[f"recall@10, {visited} of {lists} lists"] = f"{recall_of(own, truth, answers):.3f}"
    return found


def main() -> None:
    """Print both side by side."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path, help="store of at least some thousand images")
    store = Store(parser.parse_args().store)
    generation = open_generation(store, load(live_checkpoint(store, Path())))
    faiss.omp_set_num_threads(1)
    drawn = np.random.default_rng(0).permutation(generation.ids)[:MOST]
    real = np.stack([generation.vector(int(case)) for case in drawn])
    _, modelled = Embeddings().draw(len(real))
    columns = figures(real), figures(np.random.default_rng(0).permutation(modelled))
    table = Table("", "real", "modelled", box=None)
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
