"""Intervals by patients."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from xemplar_evaluator.bootstrap import FEWEST, estimate, estimate_statistic


def test_the_mean_leaves_out_what_is_not_defined() -> None:
    found = estimate([1.0, np.nan, 3.0], [None] * 3)
    assert found is not None
    assert (found.value, found.count) == (2.0, 2)


def test_nothing_defined_gives_no_figure() -> None:
    assert estimate([np.nan], ["a"]) is None


@pytest.mark.parametrize("patients", [2, FEWEST - 1])
def test_few_patients_give_no_interval_however_many_their_images(patients: int) -> None:
    found = estimate(np.arange(100.0), [str(n % patients) for n in range(100)])
    assert found is not None
    assert found.low is None
    assert "too few patients" in str(found)
    assert estimate_statistic(np.sum, [str(n % patients) for n in range(100)]).low is None


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda random: random.normal(size=FEWEST), 0.0),
        (lambda random: (random.random(FEWEST) < 0.5).astype(float), 0.5),
        (lambda random: random.beta(2, 5, FEWEST), 2 / 7),
    ],
    ids=["normal", "hit or miss", "skew"],
)
def test_the_interval_of_the_fewest_patients_holds_the_true_mean_19_times_in_20(
    draw: Callable[[np.random.Generator], npt.NDArray[np.float64]], mean: float
) -> None:
    # 1000 samples: the standard error of a coverage of 0.95 is 0.007
    random = np.random.default_rng(3)
    found = [estimate(draw(random), [None] * FEWEST, resamples=400) for _ in range(1000)]
    held = np.mean([e is not None and (e.low or 0) <= mean <= (e.high or 0) for e in found])
    assert 0.93 <= held <= 0.985


def test_the_interval_does_not_depend_on_what_patients_are_called() -> None:
    """A pseudonym is made with the key of a store, which is random."""
    values = np.random.default_rng(2).normal(size=60)
    for names in ([f"{n % 20:02d}" for n in range(60)], [f"{(7 * n) % 20}x" for n in range(60)]):
        assert estimate(values, names) == estimate(values, [f"p{n % 20}" for n in range(60)])
        one, other = (
            estimate_statistic(lambda times: float(times @ values), called)
            for called in (names, [f"p{n % 20}" for n in range(60)])
        )
        assert one == other


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
