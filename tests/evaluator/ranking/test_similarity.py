"""Calibration of the cosine: fitted on some images, tried on others."""

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.ranking.similarity import Pairs, binned, fit, pairs, reliability

from xemplar.index import SimilarityCalibration


def drawn(count: int, chance) -> Pairs:
    generator = np.random.default_rng(0)
    cosine = generator.random(count)
    shared = (generator.random(count) < chance(cosine)).astype(float)
    return Pairs(cosine, shared, images=10)


def logistic(cosine):
    return 1 / (1 + np.exp(3 - 5 * cosine))


def test_a_known_chance_is_found_again() -> None:
    fitted = fit(drawn(200_000, logistic), "digest", "drawn")
    assert fitted is not None
    for cosine in (0.1, 0.3, 0.6, 0.9, 0.99):
        assert fitted.chance_of(cosine) == pytest.approx(logistic(cosine), abs=0.01)


def test_where_a_higher_cosine_means_a_lower_chance_all_are_told_the_same() -> None:
    found = drawn(2_000, lambda c: 0.8 - 0.5 * c)
    fitted = fit(found, "digest", "drawn")
    assert fitted is not None
    said = [fitted.chance_of(c) for c in np.linspace(-1, 1, 101)]
    assert said == pytest.approx([found.shared.mean()] * 101)


def test_of_few_images_no_certainty_is_made() -> None:
    """Of 300 pairs the ten most alike, one image's, all share a finding: that is no rule."""
    found = drawn(300, lambda c: np.full(len(c), 0.3))
    top = np.argsort(found.cosine)[-10:]
    found.shared[top] = 1
    fitted = fit(found, "digest", "drawn")
    assert fitted is not None
    assert fitted.chance_of(1) < 0.6


def test_bins_hold_every_pair_once() -> None:
    found = drawn(1_000, lambda c: c)
    bins = binned(found.cosine, found.shared)
    assert bins[:, 2].sum() == 1_000
    assert np.average(bins[:, 1], weights=bins[:, 2]) == pytest.approx(found.shared.mean())


def test_one_cosine_for_all_pairs_is_no_calibration() -> None:
    same = Pairs(np.full(9, 0.5), np.arange(9) % 2.0, images=3)
    assert fit(same, "digest", "drawn") is None
    assert fit(Pairs(np.empty(0), np.empty(0), 0), "digest", "drawn") is None


def test_pairs_that_a_cosine_separates_are_a_calibration_too() -> None:
    found = Pairs(np.linspace(0, 1, 40), np.repeat([0.0, 1.0], 20), images=4)
    fitted = fit(found, "digest", "drawn")
    assert fitted is not None
    assert fitted.chance_of(0) < 0.01
    assert fitted.chance_of(1) > 0.99


def test_nor_are_pairs_that_all_share_a_finding_or_none() -> None:
    for share in (0.0, 1.0):
        assert fit(Pairs(np.linspace(0, 1, 9), np.full(9, share), 3), "digest", "drawn") is None


def test_pairs_are_each_images_ten_most_similar_cases(data: EvaluationData) -> None:
    found = pairs(data.queries, data.candidates)
    assert found.images == len(data.queries)
    every = data.queries.embedding.astype(np.float64) @ data.candidates.embedding.T
    near = -np.sort(-every, axis=1)[:, :10]  # all labels of phantoms are known
    np.testing.assert_allclose(found.cosine, near.ravel())


def test_reliability_is_measured_on_other_images(data: EvaluationData) -> None:
    fitted = SimilarityCalibration("digest", "phantoms", 1, 2, (0.0, 1.0), (0.25, 0.25))
    tuning = pairs(data.tuning, data.candidates)
    figures, curve = reliability(data, fitted, tuning)
    found = pairs(data.queries, data.candidates)
    truth = found.shared.mean()
    count, so, said, gap, brier, _ = figures.rows[0]
    assert count == len(found.cosine)
    assert so == pytest.approx(truth)
    assert said == 0.25
    # of a constant c: mean of (c - t)^2 = c^2 - 2 c mean(t) + mean(t), as t is 0 or 1
    assert brier == pytest.approx(0.25**2 - 0.5 * truth + truth)
    assert gap >= abs(truth - 0.25) - 1e-9
    assert sum(row[3] for row in curve.rows) == count
