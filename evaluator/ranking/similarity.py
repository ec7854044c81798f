"""How sure a cosine is: chance of a finding in common, fitted on one split, tried on others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from evaluator.material import Candidates, Films, Material
from evaluator.ranking.labels import blocks, forbidden
from evaluator.ranking.relevance import indicators, names_of, shares_a_finding
from evaluator.section import Cell, Table
from xemplar.findings import positives
from xemplar.index import SimilarityCalibration

LEVELS = np.concatenate([[0, 0.25, 0.5, 0.75], 1 - np.logspace(-1, -3.5, 11), [1]])
"""Quantiles that bound the bins: fine at the top, where the cases that one is shown come from."""

NEAREST = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a query and an indexed case.

    Attributes:
        cosine: float64 (n,).
        shared: float64 (n,), 1 where both have a finding in common.
        near: bool (n,), whether the case is among the query's ten most similar.
        films: number of queries.
    """

    cosine: npt.NDArray[np.float64]
    shared: npt.NDArray[np.float64]
    near: npt.NDArray[np.bool_]
    films: int


def pairs(films: Films, candidates: Candidates) -> Pairs:
    """All pairs whose labels are known, but for films of the same patient.

    Films without a finding count: they share none with anybody, which is what a user of the
    service, who does not know what the film shows, will meet.
    """
    own = [positives(film.labels) for film in films.films]
    other = [case.findings for case in candidates.cases]
    names = names_of(own, other)
    q, c = indicators(own, names), indicators(other, names)
    known = np.array([bool(of) for of in own]), np.array([bool(of) for of in other])
    parts: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]] = []
    for rows in blocks(len(films)):
        usable = known[0][rows][:, None] & known[1] & ~forbidden(films, candidates, rows)
        cosine = np.clip(films.embedding[rows].astype(np.float64) @ candidates.embedding.T, -1, 1)
        order = np.argsort(-np.where(usable, cosine, -np.inf), axis=1, kind="stable")
        ranks = np.argsort(order, axis=1)
        shared = shares_a_finding(q[rows], c)
        parts.append((cosine[usable], shared[usable], (ranks < NEAREST)[usable]))
    if not parts:
        return Pairs(np.empty(0), np.empty(0), np.empty(0, bool), 0)
    cosine, shared, near = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Pairs(cosine, shared, near, int(known[0].sum()))


def binned(
    cosine: npt.NDArray[np.float64], shared: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(mean cosine, share of pairs with a finding in common, pairs) of each bin, float64 (b, 3)."""
    edges = np.unique(np.quantile(cosine, LEVELS))
    place = np.clip(np.searchsorted(edges, cosine, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(place)
    full = count > 0
    means = [np.bincount(place, weights)[full] / count[full] for weights in (cosine, shared)]
    return np.stack([*means, count[full].astype(float)], axis=1)


def fit(found: Pairs, checkpoint: str, source: str) -> SimilarityCalibration | None:
    """Isotonic regression (Zadrozny & Elkan, KDD 2002) over the bins; None with under two bins."""
    if not len(found.cosine):
        return None
    bins = binned(found.cosine, found.shared)
    if len(bins) < 2:
        return None
    chance = IsotonicRegression(y_min=0, y_max=1).fit_transform(
        bins[:, 0], bins[:, 1], sample_weight=bins[:, 2]
    )
    return SimilarityCalibration(
        checkpoint=checkpoint,
        source=source,
        films=found.films,
        pairs=len(found.cosine),
        similarity=tuple(bins[:, 0].tolist()),
        chance=tuple(chance.tolist()),
    )


def reliability(
    material: Material, fitted: SimilarityCalibration, fitted_on: Pairs
) -> tuple[Table, Table]:
    """What the fitted curve says against what is so, on films that it was not fitted on.

    Args:
        material: its queries are tried.
        fitted: the curve.
        fitted_on: the pairs that it was fitted on.

    Returns:
        The figures, and the curve by bins of the cosine.
    """
    found = pairs(material.queries, material.candidates)
    said = np.interp(found.cosine, fitted.similarity, fitted.chance)
    base = float(fitted_on.shared.mean())
    rows: list[list[Cell]] = []
    for name, chosen in (("all pairs", np.full(len(said), True)), ("ten nearest", found.near)):
        truth, chance = found.shared[chosen], said[chosen]
        bins = binned(found.cosine[chosen], truth)
        expected = np.interp(bins[:, 0], fitted.similarity, fitted.chance)
        gap = float(np.average(np.abs(expected - bins[:, 1]), weights=bins[:, 2]))
        figures = (truth.mean(), chance.mean(), gap, ((chance - truth) ** 2).mean())
        rows.append(
            [name, int(chosen.sum()), *map(float, figures), float(((base - truth) ** 2).mean())]
        )
    curve = binned(found.cosine, found.shared)
    expected = np.interp(curve[:, 0], fitted.similarity, fitted.chance)
    lines: list[list[Cell]] = [
        [float(c), float(e), float(s), int(n)] for (c, s, n), e in zip(curve, expected, strict=True)
    ]
    return (
        Table(
            "similarity-calibration",
            "How sure a cosine is: calibrated chance of a finding in common",
            [
                "pairs",
                "count",
                "share in fact",
                "share as said",
                "mean gap",
                "Brier score",
                "Brier score of one number for all",
            ],
            rows,
            f"Fitted on {fitted.films} films of the split {material.settings.tuning_split!r}, "
            "tried on the queries. The mean gap is the expected calibration error over bins of "
            "the cosine. The last column says the overall share to every pair: a calibration that "
            "is not below it tells nothing.",
        ),
        Table(
            "similarity-reliability",
            "Reliability: what is said and what is so, by cosine",
            ["cosine", "chance as said", "share in fact", "pairs"],
            lines,
            shown=False,
        ),
    )
