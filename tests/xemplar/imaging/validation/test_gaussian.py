"""`Gaussian`: distances in multiples of the in-distribution threshold."""

import numpy as np
import pytest

from xemplar.imaging.validation.gaussian import Gaussian


def drawn(seed: int, count: int) -> np.ndarray:
    """Samples of 50 numbers of very different sizes that go along three directions, and noise."""
    rng = np.random.default_rng(seed)
    along = rng.normal(size=(count, 3)) @ np.random.default_rng(0).normal(size=(3, 50))
    return np.asarray((along + 0.3 * rng.normal(size=(count, 50))) * np.linspace(0.1, 10, 50))


@pytest.fixture(scope="module")
def gaussian() -> Gaussian:
    return Gaussian.fit(drawn(1, 400))


def test_held_out_samples_are_in_distribution(gaussian: Gaussian) -> None:
    assert (gaussian.distances(drawn(2, 1000)) > 1).mean() < 0.005


def test_deviations_off_the_principal_directions_are_detected(
    gaussian: Gaussian,
) -> None:
    off = drawn(2, 100)
    off[:, 0] += 1.5  # its own spread is below 0.2, and that of others 10
    assert (gaussian.distances(off) > 1).all()


def test_units_do_not_matter(gaussian: Gaussian) -> None:
    other, some = Gaussian.fit(drawn(1, 400) * 1000), drawn(2, 10)
    assert other.distances(some * 1000) == pytest.approx(gaussian.distances(some))


def test_a_constant_feature_causes_no_division_by_zero() -> None:
    constant = drawn(1, 100)
    constant[:, 7] = 3.0
    assert np.isfinite(Gaussian.fit(constant).distances(drawn(2, 5))).all()
