"""Ranking metrics against labels: precision, MAP, MRR and nDCG by shared findings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import positives
from xemplar.retrieval.ndcg import Gains, ndcg

from ..bootstrap import estimate, estimate_ratio
from ..data import Candidates, EvaluationData, EvaluationImages, related
from ..section import Cell, Estimate, Table
from . import chance, metrics
from .rankers import RANDOM, XEMPLAR, Ranker, rankers
from .relevance import (
    indicators,
    jaccard,
    names_of,
    overlap,
    same_findings,
    severities,
    shares_a_finding,
)

KS = (1, 3, 5, 10)
BLOCK = 128
"""Queries whose scores of all cases are in memory at once."""


class Metric(NamedTuple):
    """A figure of a ranked list, and its exact mean in random order.

    Attributes:
        of: ranked gains, float64 (Q, M) -> float64 (Q,).
        by_chance: gains and number of allowed cases (`chance`) -> float64 (Q,).
    """

    of: Callable[[Gains], Gains]
    by_chance: Callable[[Gains, chance.Counts], Gains]


NDCG = {f"nDCG@{k}": Metric(partial(ndcg, k=k), partial(chance.ndcg, k=k)) for k in KS}
GRADED: Mapping[str, Metric] = NDCG | {
    f"nDCG@{k}, exponential gain": Metric(
        partial(metrics.exponential_ndcg, k=k), partial(chance.exponential_ndcg, k=k)
    )
    for k in KS
}
BINARY: Mapping[str, Metric] = {
    **{
        f"P@{k}": Metric(partial(metrics.precision, k=k), partial(chance.precision, k=k))
        for k in KS
    },
    "mAP": Metric(metrics.average_precision, chance.average_precision),
    "MRR": Metric(metrics.reciprocal_rank, chance.reciprocal_rank),
    **NDCG,
}


@dataclass(frozen=True)
class Relevance:
    """A definition of a relevant case.

    Attributes:
        name: in words.
        gain: rows of the queries -> gain of every case, float64 (rows, M) in [0, 1].
        metrics: the figures that suit it.
    """

    name: str
    gain: Ranker
    metrics: Mapping[str, Metric]


def relevances(
    queries: EvaluationImages, candidates: Candidates, severity: Mapping[str, Mapping[str, float]]
) -> list[Relevance]:
    """All relevances that what is known allows."""
    own = [positives(image.labels) for image in queries.records]
    other = [case.findings for case in candidates.cases]
    names = names_of(own, other)
    q, c = indicators(own, names), indicators(other, names)
    found = [
        Relevance("findings in common / findings in either", lambda r: jaccard(q[r], c), GRADED),
        Relevance("a finding in common", lambda r: shares_a_finding(q[r], c), BINARY),
        Relevance("the same findings exactly", lambda r: same_findings(own[r], other), BINARY),
    ]
    if severity:
        degrees = (
            severities([f.file for f in queries.records], names, severity),
            severities([c.file for c in candidates.cases], names, severity),
        )
        found.append(
            Relevance(
                "severity in common / severity in either",
                lambda r: overlap(degrees[0][r], degrees[1]),
                GRADED,
            )
        )
    return found


def blocks(count: int) -> Iterator[slice]:
    """All rows, `BLOCK` at a time."""
    return (slice(begin, min(begin + BLOCK, count)) for begin in range(0, count, BLOCK))


Figures = Mapping[tuple[str, str, str], npt.NDArray[np.float64]]
"""(relevance, ranker, metric) -> value of each query, float64 (Q,), NaN where not defined."""


def measure(
    data: EvaluationData, judged: Sequence[Relevance], on_progress: Callable[[int], None]
) -> Figures:
    """Every figure of every query, ranked by xemplar and by everything beside it."""
    queries, candidates = data.queries, data.candidates
    ranked_by = rankers(queries, candidates, data.settings.seed)
    parts: dict[tuple[str, str, str], list[Gains]] = {}

    def keep(relevance: Relevance, ranker: str, figures: Mapping[str, Gains]) -> None:
        for metric, values in figures.items():
            parts.setdefault((relevance.name, ranker, metric), []).append(values)

    for rows in blocks(len(queries)):
        barred = related(queries, candidates, rows)
        allowed = (~barred).sum(axis=1)
        gains = {r.name: np.where(barred, 0, r.gain(rows)) for r in judged}
        for name, score in ranked_by.items():
            order = _order(score(rows), barred)
            for r in judged:
                ranked = np.take_along_axis(gains[r.name], order, axis=1)
                keep(r, name, {metric: m.of(ranked) for metric, m in r.metrics.items()})
        for r in judged:
            by_chance = {k: m.by_chance(gains[r.name], allowed) for k, m in r.metrics.items()}
            keep(r, RANDOM, by_chance)
        on_progress(rows.stop)
    return {key: np.concatenate(value) for key, value in parts.items()}


@dataclass(frozen=True)
class QueryMean:
    """Averages figures of some queries, with intervals over their patients.

    Attributes:
        data: the evaluated images.
        rows: indices of the queries, int (n,).
    """

    data: EvaluationData
    rows: npt.NDArray[np.intp]

    def of(self, values: Gains, others: Gains | None = None) -> Estimate | None:
        """Mean of the figures of all queries, float64 (Q,), over that of ``others``, if any."""
        settings = self.data.settings
        patients = [self.data.queries.patients[row] for row in self.rows]
        own = values[self.rows]
        if others is None:
            return estimate(own, patients, settings.resamples, settings.seed)
        return estimate_ratio(own, others[self.rows], patients, settings.resamples, settings.seed)


def means(data: EvaluationData) -> Mapping[str, QueryMean]:
    """Means over all queries, and over those of each split."""
    return {name: QueryMean(data, np.flatnonzero(rows)) for name, rows in data.parts.items()}


def tables(data: EvaluationData, judged: Sequence[Relevance], figures: Figures) -> list[Table]:
    """One table for each relevance: splits and rankers in rows, figures in columns."""
    drawn = []
    for number, relevance in enumerate(judged, start=1):
        names = dict.fromkeys(ranker for kind, ranker, _ in figures if kind == relevance.name)
        rows: list[list[Cell]] = [
            [
                part,
                ranker,
                *(mean.of(figures[relevance.name, ranker, m]) for m in relevance.metrics),
            ]
            for part, mean in means(data).items()
            for ranker in names
        ]
        first = next(iter(relevance.metrics))
        defined = int(np.isfinite(figures[relevance.name, XEMPLAR, first]).sum())
        drawn.append(
            Table(
                f"ranking-labels-{number}",
                f"What is relevant: {relevance.name}",
                ["images", "ranked by", *relevance.metrics],
                rows,
                f"{defined} of {len(data.queries)} queries; the others, to which no indexed case "
                f"is relevant, are left out. Chance is the row {RANDOM!r}: the exact mean over all "
                "orders.",
            )
        )
    return drawn


def chosen(judged: Sequence[Relevance]) -> Sequence[tuple[str, str]]:
    """(relevance, metric) of the three figures that conclusions are drawn from."""
    return ((judged[0].name, "nDCG@10"), (judged[1].name, "P@5"), (judged[1].name, "mAP"))


def chance_table(data: EvaluationData, judged: Sequence[Relevance], figures: Figures) -> Table:
    """Tabulates how many times chance xemplar reaches, in each split apart."""
    rows: list[list[Cell]] = []
    for part, mean in means(data).items():
        for kind, metric in chosen(judged):
            own, random = (figures[kind, ranker, metric] for ranker in (XEMPLAR, RANDOM))
            row = (mean.of(own), mean.of(random), mean.of(own, random))
            rows.append([part, f"{metric} ({kind})", *row])
    return Table(
        "ranking-over-chance",
        "How many times chance",
        ["images", "figure", "xemplar", "chance", "xemplar over chance"],
        rows,
        "Chance differs between splits, as the share of ill images does: a figure says little "
        "without it. It is over 1 only where its interval is.",
    )


def difference_table(data: EvaluationData, judged: Sequence[Relevance], figures: Figures) -> Table:
    """Tabulates the differences between xemplar and each baseline on the same queries."""
    rivals = dict.fromkeys(ranker for _, ranker, _ in figures if ranker != XEMPLAR)
    rows: list[list[Cell]] = []
    for part, mean in means(data).items():
        for rival in rivals:
            better = [figures[k, XEMPLAR, m] - figures[k, rival, m] for k, m in chosen(judged)]
            rows.append([part, rival, *map(mean.of, better)])
    return Table(
        "ranking-differences",
        "xemplar minus what it must be better than",
        ["images", "xemplar minus", *(f"{metric} ({kind})" for kind, metric in chosen(judged))],
        rows,
        "Differences of the same queries, so that hard ones do not blur them. An interval that "
        "holds 0 says that the difference may be luck.",
    )


def finding_table(data: EvaluationData) -> Table:
    """Tabulates precision by finding, over the queries with that finding."""
    queries, candidates = data.queries, data.candidates
    own = [positives(image.labels) for image in queries.records]
    other = [case.findings for case in candidates.cases]
    names = names_of(own)
    q, c = indicators(own, names), indicators(other, names)
    first, allowed = [], []
    for rows in blocks(len(queries)):
        barred = related(queries, candidates, rows)
        score = queries.embedding[rows].astype(np.float64) @ candidates.embedding.T
        first.append(c[_order(score, barred)[:, : max(KS)]])  # (rows, 10, n)
        open_to = ~barred
        allowed.append((open_to @ c) / np.maximum(open_to.sum(axis=1, keepdims=True), 1))
    nearest, share = np.concatenate(first), np.concatenate(allowed)
    rows_of_table: list[list[Cell]] = []
    for part, members in data.parts.items():
        for column, name in enumerate(names):
            having = np.flatnonzero(members & (q[:, column] > 0))
            if not len(having):
                continue
            mean = QueryMean(data, having)
            five, ten = (nearest[:, :k, column].mean(axis=1) for k in KS[2:])
            by_chance = share[:, column]
            rows_of_table.append(
                [
                    *(part, name, len(having), int(c[:, column].sum())),
                    *(mean.of(five), mean.of(ten), float(by_chance[having].mean())),
                    mean.of(five, by_chance),
                ]
            )
    return Table(
        "ranking-findings",
        "By finding: how many of the most similar cases have it too",
        [
            *("images", "finding", "queries with it", "indexed cases with it"),
            *("P@5", "P@10", "chance", "P@5 over chance"),
        ],
        rows_of_table,
        "Queries are the images with the finding; chance is the share of indexed cases with it.",
    )


def query_table(data: EvaluationData, figures: Figures) -> Table:
    """Every figure of every query, by xemplar; a CSV file only."""
    keys = [key for key in figures if key[1] == XEMPLAR]
    rows = [
        [case_id, *(_plain(figures[key][row]) for key in keys)]
        for row, case_id in enumerate(data.queries.case_ids)
    ]
    columns = ["case", *(f"{metric} ({kind})" for kind, _, metric in keys)]
    return Table("ranking-queries", "Every query", columns, rows, shown=False)


def _order(score: npt.NDArray[np.float64], barred: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Columns by descending score; of equal ones the lower id first, as the service answers."""
    return np.argsort(-np.where(barred, -np.inf, score), axis=1, kind="stable")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
