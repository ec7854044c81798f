"""Does a similarity go where its evidence goes? Deletion and insertion curves of a cosine.

Deletion and insertion (Petsiuk et al., RISE, BMVC 2018), with the cosine between a query and its
nearest case in place of a class's probability. The cells of the query are replaced by a blurred
copy of the film, in the order of the evidence (deletion), or the blurred film gets its cells back
in that order (insertion). A faithful order makes the cosine fall soon and rise soon.

Beside similarity evidence, which costs one forward pass, stands a method that sees the network as a
black box and needs a forward pass for each mask: XAITK's similarity scoring (after Dong et al.,
Explainability for Content-Based Image Retrieval, CVPR Workshops 2019) with RISE's masks.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from evaluator.material import Candidates, Films, Material
from xemplar.encoder import Encoder
from xemplar.errors import ConfigurationError
from xemplar.explain import similarity_evidence

Inputs: TypeAlias = npt.NDArray[np.uint8]
Vector: TypeAlias = npt.NDArray[np.float32]
Embed: TypeAlias = Callable[[Inputs], Vector]
"""Inputs (N, s, s) -> unit vectors (N, C)."""

Grid: TypeAlias = npt.NDArray[np.floating]
Curve: TypeAlias = npt.NDArray[np.float64]
Curves: TypeAlias = Mapping[str, Curve]
Perturbation: TypeAlias = Callable[[Embed, Inputs, Inputs, Vector, Vector], Grid]
"""(embed, film (s, s), blurred film (s, s), its embedding, the neighbour's) -> map (s, s)."""

EVIDENCE, PERTURBATION, RANDOM = "similarity evidence", "XAITK similarity scoring", "random order"
ORDERS = (EVIDENCE, PERTURBATION, RANDOM)

STEPS = 15
"""In which all cells are replaced. Odd: then no step falls half-way between two numbers of cells,
and a curve that is read backwards has the same points."""

RANDOM_ORDERS = 3
"""For each film; their mean is chance."""

BLUR = 0.5
"""Standard deviation of the Gaussian blur in cells (16 of 224 pixels). The outline of the chest
stays, as the network knows no film without one; what a cell shows is gone."""

BATCH = 16


@dataclass(frozen=True, eq=False)
class Masked:
    """Curves of n pairs, with T points each: `STEPS` + 1, or fewer where there are fewer cells.

    Attributes:
        rows: of the queries in `Films`.
        cases: of their neighbours, places in `Candidates`.
        shares: float64 (T,), share of the cells that are replaced (or given back), 0 to 1.
        deletion: order -> cosines, float64 (n, T).
        insertion: likewise.
        seconds: order -> time for one map, float64 (n,); a random order has none.
    """

    rows: tuple[int, ...]
    cases: tuple[int, ...]
    shares: npt.NDArray[np.float64]
    deletion: Curves
    insertion: Curves
    seconds: Curves

    def areas(self, curves: Curves) -> Curves:
        """Area under each of the curves over the share of cells, order -> float64 (n,)."""
        return {
            order: np.asarray(trapezoid(curve, self.shares, axis=-1))
            for order, curve in curves.items()
        }


def masking(
    material: Material,
    on_progress: Callable[[float], None],
    perturbation: Perturbation | None = None,
) -> Masked:
    """Draw the curves of a sample of queries, each with its nearest case.

    Args:
        material: settings.masking_pairs, settings.perturbations and settings.seed count.
        on_progress: called with the share that is done, in [0, 1].
        perturbation: the method that evidence is compared with; None for XAITK's.

    Raises:
        ConfigurationError: XAITK is not installed.
    """
    encoder, settings = material.encoder, material.settings
    size = encoder.checkpoint.card.spec.size
    cells = size // 32
    perturbation = perturbation or xaitk(size, cells, settings.perturbations, settings.seed)
    random = np.random.default_rng(settings.seed)
    pairs = nearest_pairs(material.queries, material.candidates, settings.masking_pairs, random)
    counts = cell_counts(cells * cells)
    # the first pass of each shape is slower, and times are measured
    for count in (1, BATCH):
        encoder.encode(np.zeros((count, size, size), np.uint8))
    found = []
    for done, (row, case) in enumerate(pairs, start=1):
        film, neighbour = material.queries.inputs[row], material.candidates.embedding[case]
        found.append(masked(encoder, film, neighbour, perturbation, counts, random))
        on_progress(done / len(pairs))
    deletion, insertion = (
        {
            order: np.array([one[part][order] for one in found]).reshape(-1, len(counts))
            for order in ORDERS
        }
        for part in (0, 1)
    )
    seconds = {order: np.array([one[2][order] for one in found]) for order in ORDERS[:2]}
    rows, cases = tuple(row for row, _ in pairs), tuple(case for _, case in pairs)
    return Masked(rows, cases, counts / (cells * cells), deletion, insertion, seconds)


def masked(
    encoder: Encoder,
    film: Inputs,
    neighbour: Vector,
    perturbation: Perturbation,
    counts: npt.NDArray[np.int64],
    random: np.random.Generator,
) -> tuple[dict[str, Curve], dict[str, Curve], dict[str, float]]:
    """One pair: (deletion, insertion, seconds) by order.

    Args:
        encoder: the network.
        film: uint8 (s, s), the query.
        neighbour: float32 (C,), the case's embedding, a unit vector.
        perturbation: gives the second order.
        counts: int (T,), how many cells are replaced at each point.
        random: where the random orders come from.
    """
    start = time.perf_counter()
    features = encoder.encode(film[None])
    evidence = similarity_evidence(features.maps[0], neighbour)
    middle = time.perf_counter()
    cells, side = len(evidence), len(film) // len(evidence)
    without = blurred(film, BLUR * side)
    heat = perturbation(encoder, film, without, features.embedding[0], neighbour)
    seconds = {EVIDENCE: middle - start, PERTURBATION: time.perf_counter() - middle}

    deletion, insertion = {}, {}
    perturbed = heat.reshape(cells, side, cells, side).mean(axis=(1, 3))
    for name, grid in ((EVIDENCE, evidence), (PERTURBATION, perturbed)):
        order = np.argsort(-grid.ravel(), kind="stable")
        deletion[name] = cosines(encoder, replaced(film, without, order, counts), neighbour)
        insertion[name] = cosines(encoder, replaced(without, film, order, counts), neighbour)
    orders = [random.permutation(cells * cells) for _ in range(RANDOM_ORDERS)]
    curves = [cosines(encoder, replaced(film, without, o, counts), neighbour) for o in orders]
    deletion[RANDOM] = np.mean(curves, axis=0)
    # to delete in a random order is to insert in the same order read backwards, as random as it
    insertion[RANDOM] = deletion[RANDOM][::-1]
    return deletion, insertion, seconds


def nearest_pairs(
    queries: Films, candidates: Candidates, count: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to ``count`` (row of a query, place of its nearest case), ascending by row.

    The case is of another patient (where the query's is known) and of another picture.
    """
    pairs: list[tuple[int, int]] = []
    for row in map(int, random.permutation(len(queries))):
        if len(pairs) == count:
            break
        patient, case_id = queries.patients[row], queries.case_ids[row]
        allowed = [
            place
            for place, case in enumerate(candidates.cases)
            if case.case_id != case_id and (patient is None or case.patient != patient)
        ]
        if allowed:
            similarity = candidates.embedding[allowed] @ queries.embedding[row]
            pairs.append((row, allowed[int(similarity.argmax())]))
    return sorted(pairs)


def cell_counts(cells: int) -> npt.NDArray[np.int64]:
    """How many of the cells are replaced at each point of a curve: 0, ..., ``cells``."""
    return np.unique(np.rint(np.linspace(0, cells, STEPS + 1)).astype(np.int64))


def blurred(film: Inputs, sigma: float) -> Inputs:
    """A film, uint8 (s, s), under a Gaussian blur of so many pixels."""
    return np.asarray(cv2.GaussianBlur(film, (0, 0), sigma), np.uint8)


def replaced(
    film: Inputs, other: Inputs, order: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> Inputs:
    """The film with the first cells of an order taken from another one.

    Args:
        film: uint8 (s, s).
        other: uint8 (s, s).
        order: int (g * g,), cells row by row, the first to be replaced first.
        counts: int (T,), how many cells to replace.

    Returns:
        uint8 (T, s, s).
    """
    cells = round(len(order) ** 0.5)
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    pixels = np.kron(turn.reshape(cells, cells), np.ones((len(film) // cells,) * 2, np.int64))
    return np.where(pixels < counts[:, None, None], other, film)


def embeddings(encoder: Encoder, inputs: Inputs) -> Vector:
    """Unit vectors, float32 (N, C), of inputs (N, s, s)."""
    starts = range(0, len(inputs), BATCH)
    return np.concatenate([encoder.encode(inputs[n : n + BATCH]).embedding for n in starts])


def cosines(encoder: Encoder, inputs: Inputs, neighbour: Vector) -> Curve:
    """Cosine of each input with the neighbour, float64 (N,)."""
    similarity = embeddings(encoder, inputs).astype(np.float64) @ neighbour
    return np.asarray(similarity)
