"""Calibration of the cosine: fitted on some films, tried on others."""

import numpy as np
import pytest

from evaluator.material import Material
from evaluator.ranking.similarity import Pairs, binned, fit, pairs, reliability
from xemplar.index import SimilarityCalibration


def drawn(count: int, chance) -> Pairs:
    generator = np.random.default_rng(0)
    cosine = generator.random(count)
    shared = (generator.random(count) < chance(cosine)).astype(float)
    return Pairs(cosine, shared, np.zeros(count, bool), films=10)


def test_a_known_chance_is_found_again() -> None:
    fitted = fit(drawn(200_000, lambda c: c**2), "digest", "drawn")
    assert fitted is not None
    for cosine in (0.3, 0.6, 0.9, 0.99):
        assert fitted.chance_of(cosine) == pytest.approx(cosine**2, abs=0.05)


def test_a_higher_cosine_never_means_a_lower_chance() -> None:
    fitted = fit(drawn(2_000, lambda c: 0.5 - 0 * c), "digest", "drawn")
    assert fitted is not None
    said = [fitted.chance_of(c) for c in np.linspace(0, 1, 101)]
    assert (np.diff(said) >= 0).all()


def test_bins_hold_every_pair_once() -> None:
    found = drawn(1_000, lambda c: c)
    bins = binned(found.cosine, found.shared)
    assert bins[:, 2].sum() == 1_000
    assert np.average(bins[:, 1], weights=bins[:, 2]) == pytest.approx(found.shared.mean())


def test_one_cosine_for_all_pairs_is_no_calibration() -> None:
    same = Pairs(np.full(9, 0.5), np.zeros(9), np.zeros(9, bool), films=3)
    assert fit(same, "digest", "drawn") is None
    assert fit(Pairs(np.empty(0), np.empty(0), np.empty(0, bool), 0), "digest", "drawn") is None


def test_pairs_of_phantoms_are_all_with_known_labels(material: Material) -> None:
    found = pairs(material.queries, material.candidates)
    assert len(found.cosine) == len(material.queries) * len(material.candidates)
    assert found.near.sum() == 10 * len(material.queries)


def test_reliability_is_measured_on_other_films(material: Material) -> None:
    fitted = SimilarityCalibration("digest", "phantoms", 1, 2, (0.0, 1.0), (0.25, 0.25))
    tuning = pairs(material.tuning, material.candidates)
    figures, curve = reliability(material, fitted, tuning)
    found = pairs(material.queries, material.candidates)
    truth = found.shared.mean()
    name, count, so, said, gap, brier, _ = figures.rows[0]
    assert (name, count) == ("all pairs", len(found.cosine))
    assert so == pytest.approx(truth)
    assert said == 0.25
    # of a constant c: mean of (c - t)^2 = c^2 - 2 c mean(t) + mean(t), as t is 0 or 1
    assert brier == pytest.approx(0.25**2 - 0.5 * truth + truth)
    assert gap >= abs(truth - 0.25) - 1e-9
    assert sum(row[3] for row in curve.rows) == count
