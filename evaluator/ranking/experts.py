"""The ranking against experts: a CSV of their ratings, and the poster's Table 1 for each query."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

from xemplar.api.rating_scale import COLUMNS
from xemplar.data.csv_table import read_rows
from xemplar.errors import DatasetError
from xemplar.retrieval.ndcg import ndcg, random_ndcg

from ..bootstrap import estimate
from ..data import EvaluationData
from ..section import Cell, Table
from . import metrics


@dataclass(frozen=True)
class ExpertRating:
    """One line of a ratings file.

    Attributes:
        query: case id of the query image: the first 16 hex digits of its file's sha256.
        case: case id of the rated image.
        rater: who rated; any name.
        rating: how similar, from 0 (nothing in common) upwards.
        line: in the file.
    """

    query: str
    case: str
    rater: str
    rating: float
    line: int


@dataclass(frozen=True, eq=False)
class RatedList:
    """The rated cases of one query, the most similar one first; n cases, r raters.

    Attributes:
        query: case id.
        cases: case ids, n.
        similarity: float64 (n,), cosine, descending.
        ratings: float64 (r, n), NaN where a rater left a case out.
    """

    query: str
    cases: tuple[str, ...]
    similarity: npt.NDArray[np.float64]
    ratings: npt.NDArray[np.float64]

    @property
    def mean_rating(self) -> npt.NDArray[np.float64]:
        """Over the raters who rated the case, float64 (n,)."""
        mean: npt.NDArray[np.float64] = np.nanmean(self.ratings, axis=0)
        return mean


def read_ratings(file: Path, max_rating: float) -> tuple[ExpertRating, ...]:
    """Read ``query_id,case_id,rater,rating``.

    Raises:
        DatasetError: the file cannot be used; naming file, line and reason.
    """
    ratings: list[ExpertRating] = []
    seen: dict[tuple[str, str, str], int] = {}
    for line, row in read_rows(file, COLUMNS):
        rating = _rating(row, f"{file}, line {line}", line, max_rating)
        key = (rating.query, rating.case, rating.rater)
        if key in seen:
            raise DatasetError(
                f"{file}, line {line}: {rating.rater} rated case {rating.case} for query "
                f"{rating.query} in line {seen[key]} already; keep one of the two"
            )
        seen[key] = line
        ratings.append(rating)
    if not ratings:
        raise DatasetError(f"{file} holds no rating; a line is {','.join(COLUMNS)}")
    return tuple(ratings)


def _rating(row: Mapping[str, str], where: str, line: int, max_rating: float) -> ExpertRating:
    query, case, rater, text = (row[name] for name in COLUMNS)
    if not (query and case and rater):
        raise DatasetError(f"{where}: query_id, case_id and rater must not be empty")
    try:
        value = float(text)
    except ValueError as error:
        raise DatasetError(f"{where}: rating {text!r} is no number") from error
    if not 0 <= value <= max_rating:
        raise DatasetError(
            f"{where}: rating {text} is not between 0 and {max_rating:g}; correct it, or give the "
            "upper end of your scale with --max-rating"
        )
    return ExpertRating(query, case, rater, value, line)


def rated_lists(
    ratings: Sequence[ExpertRating], file: Path, embeddings: Mapping[str, npt.NDArray[np.float32]]
) -> tuple[RatedList, ...]:
    """Put ratings and similarities together, one list for each query.

    Args:
        ratings: as read.
        file: that they come from, for errors.
        embeddings: case id -> float32 (C,), of all query images and indexed cases.

    Raises:
        DatasetError: a query or case is unknown, or its own neighbour; naming file and line.
    """
    by_query: dict[str, list[ExpertRating]] = defaultdict(list)
    for rating in ratings:
        for what, name in (("query", rating.query), ("case", rating.case)):
            if name not in embeddings:
                raise DatasetError(
                    f"{file}, line {rating.line}: there is no {what} {name[:64]!r} among the "
                    "images of the data set's evaluated splits and the indexed cases"
                )
        if rating.query == rating.case:
            raise DatasetError(
                f"{file}, line {rating.line}: case {rating.case} is rated for itself"
            )
        by_query[rating.query].append(rating)
    return tuple(_list(query, of, embeddings) for query, of in by_query.items())


def _list(
    query: str, ratings: Sequence[ExpertRating], embeddings: Mapping[str, npt.NDArray[np.float32]]
) -> RatedList:
    cases = list(dict.fromkeys(rating.case for rating in ratings))
    raters = sorted({rating.rater for rating in ratings})
    table = np.full((len(raters), len(cases)), np.nan)
    for rating in ratings:
        table[raters.index(rating.rater), cases.index(rating.case)] = rating.rating
    own = embeddings[query].astype(np.float64)
    similarity = np.clip([embeddings[case] @ own for case in cases], -1, 1)
    order = np.argsort(-similarity, kind="stable")
    return RatedList(query, tuple(cases[i] for i in order), similarity[order], table[:, order])


def agreement_with_experts(lists: Sequence[RatedList], data: EvaluationData) -> Table:
    """Means over the queries of nDCG under both gains and of Kendall's tau, beside chance."""
    gains = [one.mean_rating[None] for one in lists]
    resamples = data.settings.resamples
    rows: list[list[Cell]] = []
    for name, transform in (("linear", lambda g: g), ("exponential", metrics.exponential)):
        got = [float(ndcg(transform(g), g.shape[1])[0]) for g in gains]
        chance = [float(random_ndcg(transform(g))[0]) for g in gains]
        rows.append(
            [
                f"nDCG, {name} gain",
                *(estimate(v, [None] * len(v), resamples) for v in (got, chance)),
            ]
        )
    taus = [_tau(one.similarity, one.mean_rating) for one in lists]
    rows.append(
        [
            "Kendall's tau-b, ranking and mean rating",
            estimate(taus, [None] * len(taus), resamples),
            0.0,
        ]
    )
    pairs = [_agreement(one) for one in lists]
    rows.append(
        ["Kendall's tau-b between raters", estimate(pairs, [None] * len(pairs), resamples), 0.0]
    )
    left_out = sum(not one.mean_rating.any() for one in lists)
    return Table(
        "experts",
        "Against experts",
        ["figure", "measured", "chance"],
        rows,
        f"{len(lists)} queries, {sum(len(one.cases) for one in lists)} rated cases. Gain is the "
        "mean rating; nDCG is over all rated cases of a query, and high by chance on short lists: "
        "the second column is its exact mean over all orders. The poster reports 0.79 without a "
        f"chance value. {left_out} queries whose cases were all rated 0 are left out of nDCG; tau "
        "leaves out queries where all ratings are equal. Intervals are over queries.",
    )


def expert_rows(lists: Sequence[RatedList]) -> Table:
    """The poster's Table 1, for all queries; equal ratings share the better rank."""
    rows: list[list[Cell]] = []
    for one in lists:
        by_experts = rankdata(-one.mean_rating, method="min")
        for rank, case in enumerate(one.cases, start=1):
            rows.append(
                [
                    one.query,
                    case,
                    float(one.similarity[rank - 1]),
                    rank,
                    float(one.mean_rating[rank - 1]),
                    int(by_experts[rank - 1]),
                ]
            )
    return Table(
        "experts-cases",
        "Every rated case: rank by similarity and rank by experts",
        ["query", "case", "similarity", "rank by similarity", "mean rating", "rank by experts"],
        rows,
        shown=len(rows) <= 60,
    )


def _agreement(one: RatedList) -> float:
    """Mean tau-b over the pairs of raters who rated two or more cases of the query both."""
    taus = []
    for first, second in combinations(one.ratings, 2):
        both = np.isfinite(first) & np.isfinite(second)
        taus.append(_tau(first[both], second[both]))
    defined = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(defined)) if defined else float("nan")


def _tau(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Kendall's tau-b (Biometrika 1945); NaN where one side has no order at all."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(kendalltau(first, second).statistic)
