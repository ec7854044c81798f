"""Ranking metrics against labels: precision, MAP, MRR and nDCG by shared findings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import positives
from xemplar.retrieval.ndcg import Gains, ndcg

from ..bootstrap import estimate
from ..data import Candidates, EvaluationData, EvaluationImages, related
from ..section import Cell, Table
from . import metrics
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

DRAWS = 10
"""Random orders that chance is the mean of."""

Metric = Callable[[Gains], Gains]

GRADED: Mapping[str, Metric] = {
    **{f"nDCG@{k}": partial(ndcg, k=k) for k in KS},
    **{f"nDCG@{k}, exponential gain": partial(metrics.exponential_ndcg, k=k) for k in KS},
}
BINARY: Mapping[str, Metric] = {
    **{f"P@{k}": partial(metrics.precision, k=k) for k in KS},
    "mAP": metrics.average_precision,
    "MRR": metrics.reciprocal_rank,
    **{f"nDCG@{k}": partial(ndcg, k=k) for k in KS},
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
    for rows in blocks(len(queries)):
        barred = related(queries, candidates, rows)
        gains = {r.name: np.where(barred, 0, r.gain(rows)) for r in judged}
        for name, score in ranked_by.items():
            draws = DRAWS if name == RANDOM else 1
            orders = [_order(score(rows), barred) for _ in range(draws)]
            for relevance in judged:
                ranked = [np.take_along_axis(gains[relevance.name], o, axis=1) for o in orders]
                for metric, value in relevance.metrics.items():
                    figures = np.mean([value(one) for one in ranked], axis=0)
                    parts.setdefault((relevance.name, name, metric), []).append(figures)
        on_progress(rows.stop)
    return {key: np.concatenate(value) for key, value in parts.items()}


def tables(data: EvaluationData, judged: Sequence[Relevance], figures: Figures) -> list[Table]:
    """One table for each relevance: rankers in rows, figures in columns."""
    drawn = []
    for number, relevance in enumerate(judged, start=1):
        names = [ranker for kind, ranker, _ in figures if kind == relevance.name]
        rows: list[list[Cell]] = [
            [
                ranker,
                *(
                    estimate(
                        figures[relevance.name, ranker, metric],
                        data.queries.patients,
                        data.settings.resamples,
                        data.settings.seed,
                    )
                    for metric in relevance.metrics
                ),
            ]
            for ranker in dict.fromkeys(names)
        ]
        first = next(iter(relevance.metrics))
        defined = int(np.isfinite(figures[relevance.name, XEMPLAR, first]).sum())
        caption = (
            f"{defined} of {len(data.queries)} queries; the others, to which no indexed case "
            f"is relevant, are left out. Chance is the row {RANDOM!r}: mean of {DRAWS} orders."
        )
        drawn.append(
            Table(
                f"ranking-labels-{number}",
                f"What is relevant: {relevance.name}",
                ["ranked by", *relevance.metrics],
                rows,
                caption,
            )
        )
    return drawn


def difference_table(data: EvaluationData, judged: Sequence[Relevance], figures: Figures) -> Table:
    """Tabulates the differences between xemplar and each baseline on the same queries."""
    chosen = ((judged[0].name, "nDCG@10"), (judged[1].name, "P@5"), (judged[1].name, "mAP"))
    rivals = dict.fromkeys(ranker for _, ranker, _ in figures if ranker != XEMPLAR)
    rows: list[list[Cell]] = []
    for rival in rivals:
        better = [figures[kind, XEMPLAR, m] - figures[kind, rival, m] for kind, m in chosen]
        settings = data.settings
        patients = data.queries.patients
        means = (estimate(b, patients, settings.resamples, settings.seed) for b in better)
        rows.append([rival, *means])
    return Table(
        "ranking-differences",
        "xemplar minus what it must be better than",
        ["xemplar minus", *(f"{metric} ({kind})" for kind, metric in chosen)],
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
    nearest, chance = np.concatenate(first), np.concatenate(allowed)
    rows_of_table: list[list[Cell]] = []
    for column, name in enumerate(names):
        having = np.flatnonzero(q[:, column])
        patients = [queries.patients[row] for row in having]
        means = [
            estimate(nearest[having, :k, column].mean(axis=1), patients, data.settings.resamples)
            for k in KS[2:]
        ]
        by_chance = float(chance[having, column].mean())
        rows_of_table.append([name, len(having), int(c[:, column].sum()), *means, by_chance])
    return Table(
        "ranking-findings",
        "By finding: how many of the most similar cases have it too",
        ["finding", "queries with it", "indexed cases with it", "P@5", "P@10", "chance"],
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
