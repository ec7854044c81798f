import numpy as np
import pytest
from xemplar_evaluator.readers.areas import areas
from xemplar_evaluator.readers.power import Design, SimulatedShare, simulate_studies
from xemplar_evaluator.readers.roe_metz import STRUCTURES, separation, simulate

from xemplar.errors import ConfigurationError

HL = STRUCTURES["HL"]


@pytest.mark.parametrize("structure", ["HL", "LH"])
def test_without_a_difference_five_of_a_hundred_studies_find_one(structure):
    # the short form of `python -m benchmarks.reader_studies`
    found = simulate_studies(Design(4, 30, 30, 0.72, 0.72, STRUCTURES[structure]), 300, seed=1)
    assert found.significant.low <= 0.05 <= found.significant.high
    assert found.covered.low <= 0.95 <= found.covered.high


def test_a_large_difference_is_found_more_often_than_a_small_one():
    small, large = (
        simulate_studies(Design(4, 30, 30, 0.7, 0.7 + more, HL), 60).significant.value
        for more in (0.02, 0.2)
    )
    assert small < 0.5 < large


def test_more_readers_narrow_the_interval():
    few, many = (
        simulate_studies(Design(readers, 30, 30, 0.8, 0.8, HL), 40).half_width
        for readers in (3, 10)
    )
    assert many < few


def test_the_same_seed_gives_the_same_power():
    design = Design(3, 10, 10, 0.7, 0.8, HL)
    assert simulate_studies(design, 20, seed=3) == simulate_studies(design, 20, seed=3)


def test_simulated_readers_have_the_mean_auc_that_was_asked_for():
    truth = np.arange(2000) < 1000
    draw = np.random.default_rng(0)
    scores = simulate(truth, 200, [separation(0.8, HL)], HL, draw)
    assert areas(truth, scores, "DeLong").auc.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1, 30, 30, 0.7, 0.8), "1 readers"),
        ((4, 1, 30, 0.7, 0.8), "1 films with the finding"),
        ((4, 30, 30, 0.7, 1.0), "AUC of 1 is not between"),
    ],
)
def test_a_study_that_cannot_be_analysed_is_refused(sizes, said):
    with pytest.raises(ConfigurationError, match=said):
        Design(*sizes, HL)


def test_the_interval_of_a_share_is_clopper_and_pearsons():
    # 0 of 20: the rule of three's exact form, 1 - 0.025 ** (1 / 20)
    assert SimulatedShare.of(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert SimulatedShare.of(20, 20).low == pytest.approx(0.025 ** (1 / 20))
