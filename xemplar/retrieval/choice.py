"""Choice of the cases to show among those found: like the query, unlike one another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.api.search import NEAR_DUPLICATE, Search
from xemplar.catalog import Case
from xemplar.retrieval.duplicates import COPY_COSINE
from xemplar.retrieval.words import Fused


@dataclass(frozen=True)
class Found:
    """A selected case.

    Attributes:
        case: the case.
        similarity: cosine of the two images' embeddings, in [-1, 1].
        score: cosine to the search vector, by which cases are ranked: the similarity, unless the
            search is steered.
        fused: its ranks by image and by words, by which cases are ranked if there are words.
    """

    case: Case
    similarity: float
    score: float
    fused: Fused | None = None


def choose(
    found: Sequence[Found],
    vectors: npt.NDArray[np.float32],
    count: int,
    search: Search,
    is_copy: Callable[[Case, Sequence[Case]], bool],
) -> list[Found]:
    """Selects cases one by one by maximal marginal relevance, each image once.

    Each step takes, of the remaining cases, the one with the largest
    (1 - d) * cos(query, case) - d * (largest cosine to an already selected case), where d is the
    diversity (Carbonell & Goldstein, SIGIR 1998, with lambda = 1 - d). With d = 0 this is the order
    of similarity. Ties go to the candidate found first.

    Args:
        found: candidates, the most similar first.
        vectors: float32 (n, C), their embeddings, unit length.
        count: number of cases to select.
        search: gives diversity, thresholds and whether to show each patient once.
        is_copy: returns True if a case shows the same image as one of the given, already selected
            cases; called with those whose cosine to it is at least `COPY_COSINE`.
    """
    similarity, score = (
        np.array([getattr(one, name) for one in found]) for name in ("similarity", "score")
    )
    # without diversity only the order of what is gained counts
    worth = np.array([one.score if one.fused is None else one.fused.score for one in found])
    patient = np.array([one.case.patient or f"unknown {n}" for n, one in enumerate(found)])
    drop = search.near_duplicates == "drop"
    left = score >= search.min_similarity
    if drop:
        left &= similarity <= NEAR_DUPLICATE
    nearest = np.zeros(len(found))
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        gain = (1 - search.diversity) * worth - search.diversity * nearest
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        left[best] = False
        cosine = vectors @ vectors[best]
        if is_copy(found[best].case, [found[n].case for n in chosen if cosine[n] >= COPY_COSINE]):
            continue
        chosen.append(best)
        if search.one_per_patient:
            left &= patient != patient[best]
        nearest = np.maximum(nearest, cosine)
        if drop:
            left &= cosine <= NEAR_DUPLICATE
    return [found[place] for place in chosen]
