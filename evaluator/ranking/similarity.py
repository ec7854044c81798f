"""Calibration of the cosine: probability of a finding in common, fitted on one split."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from xemplar.data.findings import NO_FINDING, positives
from xemplar.index import SimilarityCalibration

from ..data import Candidates, EvaluationData, EvaluationImages, related
from ..section import Cell, Table
from .labels import blocks
from .relevance import indicators, names_of, shares_a_finding

NEAREST = 10
"""Cases of each image that count: those that a search shows."""

BINS = 10
KNOTS = 33
"""Knots of the piecewise linear curve that an index carries."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """EvaluationImages, each with its most similar indexed cases.

    Attributes:
        cosine: float64 (n,).
        shared: float64 (n,), 1 where both have a finding in common.
        images: number of images.
        ill: share of them that show a finding.
    """

    cosine: npt.NDArray[np.float64]
    shared: npt.NDArray[np.float64]
    images: int
    ill: float | None = None


def pairs(images: EvaluationImages, candidates: Candidates) -> Pairs:
    """The `NEAREST` cases of each image among those whose labels are known and of other patients.

    Images without a finding count: they share none with anybody, which is what a user of the
    service, who does not know what the image shows, will meet.
    """
    own = [positives(image.labels) for image in images.records]
    other = [case.findings for case in candidates.cases]
    names = names_of(own, other)
    q, c = indicators(own, names), indicators(other, names)
    known = np.array([bool(of) for of in own]), np.array([bool(of) for of in other])
    parts: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
    for rows in blocks(len(images)):
        usable = known[0][rows][:, None] & known[1] & ~related(images, candidates, rows)
        cosine = np.clip(images.embedding[rows].astype(np.float64) @ candidates.embedding.T, -1, 1)
        ranked = np.where(usable, cosine, -np.inf)
        near = np.argsort(-ranked, axis=1, kind="stable")[:, :NEAREST]
        there = np.isfinite(np.take_along_axis(ranked, near, axis=1))
        shared = shares_a_finding(q[rows], c)
        parts.append(
            (
                np.take_along_axis(cosine, near, axis=1)[there],
                np.take_along_axis(shared, near, axis=1)[there],
            )
        )
    if not parts:
        return Pairs(np.empty(0), np.empty(0), 0)
    cosine, shared = (np.concatenate(part) for part in zip(*parts, strict=True))
    ill = np.array([bool(set(of) - {NO_FINDING}) for of in own])[known[0]]
    return Pairs(cosine, shared, len(ill), float(ill.mean()) if len(ill) else None)


def binned(
    cosine: npt.NDArray[np.float64], shared: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(mean cosine, share of pairs with a finding in common, pairs) of each bin, float64 (b, 3)."""
    edges = np.unique(np.quantile(cosine, np.linspace(0, 1, BINS + 1)))
    bin_of = np.clip(np.searchsorted(edges, cosine, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(bin_of)
    full = count > 0
    means = [np.bincount(bin_of, weights)[full] / count[full] for weights in (cosine, shared)]
    return np.stack([*means, count[full].astype(float)], axis=1)


def fit(found: Pairs, checkpoint: str, source: str) -> SimilarityCalibration | None:
    """Logistic regression on the cosine (Platt 1999), as a piecewise linear curve.

    It has two numbers to find and not a curve, as the pairs of one image are not independent: where
    images are few, a freer curve takes what is so of one image's neighbours for a rule.

    Returns:
        None where there is nothing to learn: one cosine for all, or all or none share a finding.
        Where a higher cosine does not mean a higher chance, one chance for all.
    """
    if not len(found.cosine) or np.ptp(found.cosine) == 0 or np.ptp(found.shared) == 0:
        return None
    # held so weakly that only pairs which one cosine separates feel it: they would make a step
    model = LogisticRegression(C=100).fit(found.cosine[:, None], found.shared)
    knots = np.linspace(found.cosine.min(), found.cosine.max(), KNOTS)
    rises = model.coef_[0, 0] > 0
    chance = (
        model.predict_proba(knots[:, None])[:, 1] if rises else np.full(KNOTS, found.shared.mean())
    )
    return SimilarityCalibration(
        checkpoint=checkpoint,
        source=source,
        images=found.images,
        pairs=len(found.cosine),
        similarity=tuple(knots.tolist()),
        chance=tuple(chance.tolist()),
        ill=found.ill,
    )


def reliability(
    data: EvaluationData, fitted: SimilarityCalibration, fitted_on: Pairs
) -> tuple[Table, Table]:
    """Compares the fitted curve with the observed shares on images that it was not fitted on.

    Args:
        data: its queries are tried.
        fitted: the curve.
        fitted_on: the pairs that it was fitted on.

    Returns:
        The figures, and the curve by bins of the cosine.
    """
    found = pairs(data.queries, data.candidates)
    said = np.interp(found.cosine, fitted.similarity, fitted.chance)
    base = float(fitted_on.shared.mean())
    curve = binned(found.cosine, found.shared)
    expected = np.interp(curve[:, 0], fitted.similarity, fitted.chance)
    figures: list[Cell] = [
        len(said),
        float(found.shared.mean()),
        float(said.mean()),
        float(np.average(np.abs(expected - curve[:, 1]), weights=curve[:, 2])),
        float(((said - found.shared) ** 2).mean()),
        float(((base - found.shared) ** 2).mean()),
    ]
    lines: list[list[Cell]] = [
        [float(c), float(e), float(s), int(n)] for (c, s, n), e in zip(curve, expected, strict=True)
    ]
    return (
        Table(
            "similarity-calibration",
            "How sure a cosine is: calibrated chance of a finding in common",
            [
                "pairs",
                "share in fact",
                "share as said",
                "mean gap",
                "Brier score",
                "Brier score of one number for all",
            ],
            [figures],
            f"Each image with its {NEAREST} most similar cases. Fitted on {fitted.images} images "
            "of "
            f"the split {data.settings.tuning_split!r}, tried on the queries. The mean gap is "
            "the expected calibration error over bins of the cosine. The last column says to every "
            "pair the share of those that it was fitted on: a calibration that is not below it "
            "tells nothing.",
        ),
        Table(
            "similarity-reliability",
            "Reliability: calibrated and observed chance, by cosine",
            ["cosine", "chance as said", "share in fact", "pairs"],
            lines,
            shown=False,
        ),
    )
