"""Deletion and insertion curves of a cosine, in the order of its evidence.

Deletion and insertion (Petsiuk et al., RISE, BMVC 2018), with the cosine between a query and its
nearest case instead of a class's probability. The cells of the query are replaced by a blurred
copy of the image, in the order of the evidence (deletion), or the blurred image gets its cells back
in that order (insertion). A faithful order makes the cosine fall soon and rise soon.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from xemplar.model.densenet import STRIDE
from xemplar.model.encoder import BATCH, Encoder
from xemplar.model.explain import similarity_evidence

from ..data import Candidates, EvaluationData, EvaluationImages, nearest
from ..encoding import encoded_batches
from .perturbation import Inputs, Perturbation, Vectors, xaitk

Curve: TypeAlias = npt.NDArray[np.float64]
Curves: TypeAlias = Mapping[str, Curve]

EVIDENCE, PERTURBATION, RANDOM = "similarity evidence", "XAITK similarity scoring", "random order"
ORDERS = (EVIDENCE, PERTURBATION, RANDOM)

STEPS = 15
"""Steps in which all cells are replaced. Odd: then no step falls half-way between two counts,
and a curve that is read backwards has the same points."""

RANDOM_ORDERS = 3
"""Random orders of each image; their mean is chance."""

BLUR = 0.5
"""Standard deviation of the Gaussian blur in cells (16 of 224 pixels). The outline of the chest
stays, as the network knows no image without one; what a cell shows is gone."""


@dataclass(frozen=True, eq=False)
class MaskingCurves:
    """Curves of n pairs, with T points each: `STEPS` + 1, or fewer where there are fewer cells.

    Attributes:
        rows: of the queries in `EvaluationImages`.
        cases: of their neighbours, indices in `Candidates`.
        shares: float64 (T,), share of the cells that are replaced (or given back), 0 to 1.
        deletion: order -> cosines, float64 (n, T).
        insertion: likewise.
        seconds: order -> time for one map, float64 (n,); a random order has none.
    """

    rows: tuple[int, ...]
    cases: tuple[int, ...]
    shares: Curve
    deletion: Curves
    insertion: Curves
    seconds: Curves

    def areas(self, curves: Curves) -> Curves:
        """Area under each of the curves over the share of cells, order -> float64 (n,)."""
        return {
            order: np.asarray(trapezoid(curve, self.shares, axis=1))
            for order, curve in curves.items()
        }


def masking(data: EvaluationData, on_progress: Callable[[float], None]) -> MaskingCurves:
    """Measures the curves of a sample of queries, each with its nearest case.

    Args:
        data: settings.masking_pairs, settings.perturbations and settings.seed count.
        on_progress: called with the share that is done, in [0, 1].

    Raises:
        ConfigurationError: XAITK is not installed.
    """
    encoder, settings = data.encoder, data.settings
    size = encoder.checkpoint.card.spec.size
    cells = size // STRIDE
    perturbation = xaitk(size, cells, settings.perturbations, settings.seed)
    random = np.random.default_rng(settings.seed)
    pairs = nearest_pairs(data.queries, data.candidates, settings.masking_pairs, random)
    counts = cell_counts(cells * cells)
    # the first pass of each shape is slower, and times are measured
    for count in (1, BATCH):
        encoder.encode(np.zeros((count, size, size), np.uint8))
    found = []
    for done, (row, case) in enumerate(pairs, start=1):
        image, neighbour = data.queries.inputs[row], data.candidates.embedding[case]
        found.append(curves_of(encoder, image, neighbour, perturbation, counts, random))
        on_progress(done / len(pairs))

    def stacked(part: int) -> Curves:
        curves = {order: np.array([one[part][order] for one in found]) for order in ORDERS}
        return {order: curve.reshape(-1, len(counts)) for order, curve in curves.items()}

    return MaskingCurves(
        rows=tuple(row for row, _ in pairs),
        cases=tuple(case for _, case in pairs),
        shares=counts / (cells * cells),
        deletion=stacked(0),
        insertion=stacked(1),
        seconds={order: np.array([one[2][order] for one in found]) for order in ORDERS[:2]},
    )


def curves_of(
    encoder: Encoder,
    image: Inputs,
    neighbour: Vectors,
    perturbation: Perturbation,
    counts: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[Curves, Curves, Mapping[str, float]]:
    """One pair: (deletion, insertion, seconds) by order; curves are float64 (T,).

    Args:
        encoder: the network.
        image: uint8 (s, s), the query.
        neighbour: float32 (C,), the case's embedding, a unit vector.
        perturbation: gives the second order.
        counts: int (T,), cells that are replaced at each point.
        random: where the random orders come from.
    """
    begun = time.perf_counter()
    evidence = similarity_evidence(encoder.encode(image[None]), neighbour)
    taken = time.perf_counter() - begun
    cells, side = len(evidence), len(image) // len(evidence)
    without = blurred(image, BLUR * side)
    begun = time.perf_counter()
    heat = perturbation(partial(embeddings, encoder), image, without, neighbour)
    seconds = {EVIDENCE: taken, PERTURBATION: time.perf_counter() - begun}

    deletion, insertion = {}, {}
    in_cells = heat.reshape(cells, side, cells, side).mean(axis=(1, 3))
    for name, grid in ((EVIDENCE, evidence), (PERTURBATION, in_cells)):
        order = np.argsort(-grid.ravel(), kind="stable")
        deletion[name] = cosines(encoder, replaced(image, without, order, counts), neighbour)
        insertion[name] = cosines(encoder, replaced(without, image, order, counts), neighbour)
    orders = [random.permutation(cells * cells) for _ in range(RANDOM_ORDERS)]
    curves = [cosines(encoder, replaced(image, without, o, counts), neighbour) for o in orders]
    deletion[RANDOM] = np.mean(curves, axis=0)
    # deleting in a random order is inserting in that order read backwards, which is as random
    insertion[RANDOM] = deletion[RANDOM][::-1]
    return deletion, insertion, seconds


def nearest_pairs(
    queries: EvaluationImages, candidates: Candidates, count: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Draws up to ``count`` (row of a query, index of its nearest case), ascending by row.

    The case is of another patient (where the query's is known) and of another picture.
    """
    pairs: list[tuple[int, int]] = []
    for row in map(int, random.permutation(len(queries))):
        if len(pairs) == count:
            break
        found, _ = nearest(queries, candidates, row, 1)
        pairs += [(row, int(index)) for index in found]
    return sorted(pairs)


def cell_counts(cells: int) -> npt.NDArray[np.int64]:
    """Counts the cells that are replaced at each point of a curve: 0, ..., ``cells``."""
    return np.unique(np.rint(np.linspace(0, cells, STEPS + 1)).astype(np.int64))


def blurred(image: Inputs, sigma: float) -> Inputs:
    """An image, uint8 (s, s), under a Gaussian blur of so many pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def replaced(
    image: Inputs, other: Inputs, order: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> Inputs:
    """The image with the first cells of an order taken from another one.

    Args:
        image: uint8 (s, s).
        other: uint8 (s, s).
        order: int (g * g,), cells row by row, the first to be replaced first.
        counts: int (T,), how many cells to replace.

    Returns:
        uint8 (T, s, s).
    """
    cells = round(len(order) ** 0.5)
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    pixels = np.kron(turn.reshape(cells, cells), np.ones((len(image) // cells,) * 2, np.int64))
    return np.where(pixels < counts[:, None, None], other, image)


def embeddings(encoder: Encoder, inputs: Inputs) -> Vectors:
    """Computes unit vectors, float32 (N, C), of inputs (N, s, s)."""
    return np.concatenate([batch.embedding for batch in encoded_batches(encoder, inputs)])


def cosines(encoder: Encoder, inputs: Inputs, neighbour: Vectors) -> Curve:
    """Cosine of each input with the neighbour, float64 (N,)."""
    return np.asarray(embeddings(encoder, inputs) @ neighbour, np.float64)
