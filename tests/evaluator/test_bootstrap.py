"""Intervals by patients."""

import numpy as np
import pytest
from xemplar_evaluator.bootstrap import estimate, estimate_statistic


def test_the_mean_leaves_out_what_is_not_defined() -> None:
    found = estimate([1.0, np.nan, 3.0], [None] * 3)
    assert found is not None
    assert (found.value, found.count) == (2.0, 2)


def test_nothing_defined_gives_no_figure() -> None:
    assert estimate([np.nan], ["a"]) is None


def test_few_patients_give_no_interval() -> None:
    found = estimate(np.arange(100.0), ["a"] * 50 + ["b"] * 50)
    assert found is not None
    assert found.low is None


def test_the_interval_of_independent_images_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = estimate(values, [None] * 400)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    error = values.std() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_images_of_one_patient_do_not_count_as_independent() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    together = estimate(values, [f"patient {n // 10}" for n in range(400)])
    apart = estimate(values, [None] * 400)
    assert together is not None
    assert apart is not None
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_a_mean_as_a_statistic_has_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(size=60)
    patients = [f"patient {n // 2}" for n in range(60)]
    own = estimate(values, patients, 500)
    other = estimate_statistic(
        lambda times: float(np.average(values, weights=times)), patients, 500
    )
    assert own is not None
    assert (own.value, own.low, own.high) == pytest.approx((other.value, other.low, other.high))
