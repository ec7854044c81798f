"""Agreement of a search's order with readers' ratings of its cases, as nDCG."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from xemplar.api import Agreement, OneReadersAgreement, RatedCase, ReaderAgreement
from xemplar.index.exact import cosines
from xemplar.operations.ratings import Rating
from xemplar.retrieval.ndcg import ndcg, random_ndcg
from xemplar.retrieval.result import ExplainedQuery
from xemplar.retrieval.snapshot import Snapshot


def agreement_out(
    live: Snapshot, answer: ExplainedQuery, ratings: Sequence[Rating], root: str
) -> Agreement:
    """Compute the agreement for each reader, and for all together.

    Args:
        live: holds the rated cases; those that it no longer holds are left out.
        answer: to the image that they were found for.
        ratings: of that image's cases.
        root: path prefix of all URLs, as "/xemplar".

    Raises:
        NotFound: another checkpoint is live now.
    """
    similarity = _similarities(live, answer, {one.case_id: one.case for one in ratings})
    by_reader: dict[str, dict[str, int]] = {}
    for one in ratings:
        if one.case_id in similarity:
            by_reader.setdefault(one.rater, {})[one.case_id] = one.rating
    mean = {
        case: float(np.mean([said[case] for said in by_reader.values() if case in said]))
        for case in similarity
    }
    return Agreement(
        image_id=answer.image_id,
        cases=[
            RatedCase(
                case_id=case,
                image_url=f"{root}/cases/{case}/image",
                rank=rank,
                similarity=similarity[case],
                mean_rating=mean[case],
            )
            for rank, case in enumerate(similarity, start=1)
        ],
        readers=[
            OneReadersAgreement(rater=rater, **vars(_agreement(similarity, said)))
            for rater, said in sorted(by_reader.items())
        ],
        together=_agreement(similarity, mean),
    )


def _similarities(
    live: Snapshot, answer: ExplainedQuery, cases: Mapping[str, int]
) -> Mapping[str, float]:
    """Compute an image's similarity to each of these cases that is live, the highest first."""
    live.check_gave(answer)
    searched = sorted(name for name, case in cases.items() if case in live.generation)
    if not searched:
        return {}
    vectors = np.stack([live.generation.vector(cases[name]) for name in searched])
    found = cosines(vectors, answer.features.embedding[0])
    order = np.argsort(-found, kind="stable")
    return {searched[index]: float(found[index]) for index in order}


def _agreement(similarity: Mapping[str, float], said: Mapping[str, float]) -> ReaderAgreement:
    """Compute the nDCG of the rated cases' order by similarity."""
    gains = np.array([[said[case] for case in similarity if case in said]], np.float64)
    if not said:
        return ReaderAgreement(rated=0, ndcg=None, random_ndcg=None)
    return ReaderAgreement(
        rated=len(said),
        ndcg=_or_none(ndcg(gains, len(said))),
        random_ndcg=_or_none(random_ndcg(gains)),
    )


def _or_none(figure: npt.NDArray[np.float64]) -> float | None:
    (value,) = figure.clip(0, 1)  # rounding may exceed the range
    return None if math.isnan(value) else float(value)
