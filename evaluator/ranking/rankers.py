"""Rankers of indexed cases: xemplar, and the baselines that it must beat."""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case
from xemplar.data.datasets import DatasetImage

from ..data import Candidates, EvaluationImages

Scores = npt.NDArray[np.float64]
Ranker = Callable[[slice], Scores]
"""Rows of the queries -> score of every case, float64 (rows, M); the higher, the earlier."""

XEMPLAR, RANDOM = "xemplar", "random order"
DEMOGRAPHICS, PIXELS = "view, sex and age alone", "pixels alone (32 x 32 correlation)"
SIDE = 32


def rankers(queries: EvaluationImages, candidates: Candidates, seed: int) -> Mapping[str, Ranker]:
    """Builds all rankers by name but the random one, whose figures `chance` gives exactly."""
    draws = np.random.default_rng(seed)
    count = len(candidates)
    people = demographics(queries.records), demographics(candidates.cases)
    pictures = thumbnails(queries.inputs), thumbnails(candidates.inputs)
    return {
        XEMPLAR: lambda rows: queries.embedding[rows].astype(np.float64) @ candidates.embedding.T,
        DEMOGRAPHICS: lambda rows: (
            alike(people[0][rows], people[1])
            # most cases tie with many others: which of them comes first is left to chance
            + 1e-6 * draws.random((len(people[0][rows]), count))
        ),
        PIXELS: lambda rows: pictures[0][rows] @ pictures[1].T,
    }


def demographics(images: Sequence[DatasetImage] | Sequence[Case]) -> npt.NDArray[np.float64]:
    """Encodes view (its first two letters), sex and age, float64 (N, 3), NaN if unknown."""
    views = {"PA": 0.0, "AP": 1.0}
    sexes = {"F": 0.0, "M": 1.0}
    rows = [
        [
            views.get((image.view or "")[:2].upper(), np.nan),
            sexes.get(image.sex or "", np.nan),
            np.nan if image.age is None else image.age,
        ]
        for image in images
    ]
    return np.array(rows, np.float64).reshape(-1, 3)


def alike(own: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Scores:
    """Averages same view, same sex and 1 - |difference of age| / 100; unknown counts as 0.

    Args:
        own: float64 (Q, 3) from `demographics`.
        other: float64 (M, 3).
    """
    difference = np.abs(own[:, None] - other[None]) / np.array([1, 1, 100])
    agreement: Scores = np.where(np.isnan(difference), 0, 1 - difference).mean(axis=2)
    return agreement


def thumbnails(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Shrinks images to 32 x 32 pixels of mean 0 and length 1, float64 (N, 1024).

    The inner product of two is the correlation of their pixels.
    """
    small = [cv2.resize(i, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel() for i in inputs]
    pixels = np.array(small, np.float64).reshape(len(inputs), SIDE * SIDE)
    pixels -= pixels.mean(axis=1, keepdims=True)
    length = np.linalg.norm(pixels, axis=1, keepdims=True)
    unit: Scores = np.divide(pixels, length, out=np.zeros_like(pixels), where=length > 0)
    return unit
