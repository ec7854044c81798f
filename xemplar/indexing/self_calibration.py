"""Calibrates similarity on an index's own cases: each of a sample against all others.

`xemplar evaluate ranking` measures it on patients whom neither network nor index knows, which is
the better way. Where there are no such images, as with the demo's phantoms, the index's own cases
tell it, if the network was not trained on them.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case, Catalog
from xemplar.data.findings import NO_FINDING
from xemplar.errors import ConfigurationError
from xemplar.index import SimilarityCalibration

NEAREST = 10
"""Cases of each image that count: those that a search shows."""

SAMPLE = 500
"""Images that are compared with all others."""

KNOTS = 33
"""Points of the curve."""

RIDGE = 1e-2
"""Penalty on the squared slope, which keeps it finite where one cosine separates all pairs."""

STEPS = 50
SEED = 0


def calibrate_on_own_cases(catalog: Catalog, checkpoint: str) -> SimilarityCalibration:
    """Measure how often a case and its most similar ones of other patients share a finding.

    Args:
        catalog: cases with labels and embeddings.
        checkpoint: digest of the checkpoint that made the embeddings.

    Raises:
        ConfigurationError: cases of several data sets, too few labelled ones, or none or all of
            the pairs share a finding.
        DatabaseUnreachable: the catalog does not answer.
    """
    batches = list(catalog.vectors(checkpoint))
    ids = np.concatenate([np.empty(0, np.int64), *(one.ids for one in batches)])
    found = catalog.cases(map(int, ids))
    labelled = [bool(found[int(one)].findings) for one in ids]
    cases = [found[int(one)] for one in ids[labelled]]
    sources = {case.source for case in cases}
    if len(sources) != 1 or len(cases) <= NEAREST:
        raise ConfigurationError(
            f"{len(cases)} labelled cases of {len(sources)} data sets are indexed; similarity is "
            f"calibrated on more than {NEAREST} cases of one data set"
        )
    vectors = np.concatenate([one.vectors for one in batches])[labelled]
    cosine, shared, asked = _pairs(cases, vectors)
    if len(cosine) == 0 or not 0 < shared.mean() < 1 or np.ptp(cosine) == 0:
        raise ConfigurationError(
            "similarity cannot be calibrated: of the most similar cases of other patients, all or "
            "none share a finding"
        )
    knots = np.linspace(cosine.min(), cosine.max(), KNOTS)
    return SimilarityCalibration(
        checkpoint=checkpoint,
        source=sources.pop(),
        images=len(asked),
        pairs=len(cosine),
        similarity=tuple(knots.tolist()),
        chance=tuple(_chance(cosine, shared, knots).tolist()),
        ill=float(np.mean([set(case.findings) != {NO_FINDING} for case in asked])),
    )


def _pairs(
    cases: list[Case], vectors: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[Case]]:
    """Compare a sample with all: cosine (n,), 1 where a finding is shared (n,), and the sample."""
    count = min(SAMPLE, len(cases))
    drawn = np.sort(np.random.default_rng(SEED).choice(len(cases), count, replace=False))
    columns: Mapping[str, int] = {
        name: at for at, name in enumerate(sorted({one for case in cases for one in case.findings}))
    }
    present = np.zeros((len(cases), len(columns)), bool)
    for row, case in enumerate(cases):
        present[row, [columns[name] for name in case.findings]] = True
    if NO_FINDING in columns:
        present[:, columns[NO_FINDING]] = False  # to have none is not to share one
    patients = np.array([case.patient or case.case_id for case in cases])
    cosines, shares = [], []
    for row in drawn:
        cosine = np.clip(vectors @ vectors[row], -1, 1).astype(np.float64)
        cosine[patients == patients[row]] = -np.inf
        near = np.argsort(-cosine, kind="stable")[:NEAREST]
        near = near[np.isfinite(cosine[near])]
        cosines.append(cosine[near])
        shares.append((present[near] & present[row]).any(axis=1).astype(np.float64))
    return np.concatenate(cosines), np.concatenate(shares), [cases[row] for row in drawn]


def _chance(
    cosine: npt.NDArray[np.float64],
    shared: npt.NDArray[np.float64],
    knots: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Fit a logistic curve (Platt 1999) by Newton's method; one chance for all if it falls."""
    centre, scale = cosine.mean(), cosine.std()
    design = np.stack([np.ones_like(cosine), (cosine - centre) / scale], axis=1)
    weights = np.zeros(2)
    penalty = np.diag([0, RIDGE])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (shared - chance) - penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights = weights + np.linalg.solve(curvature, slope)
    if weights[1] <= 0:
        return np.full(len(knots), shared.mean())
    fitted: npt.NDArray[np.float64] = 1 / (
        1 + np.exp(-(weights[0] + weights[1] * (knots - centre) / scale))
    )
    return fitted
