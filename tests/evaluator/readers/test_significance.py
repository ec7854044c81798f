"""Multi-reader multi-case comparison, against the figures of R's RJafroc and MRMCaov."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from xemplar_evaluator.readers.areas import Areas, areas
from xemplar_evaluator.readers.roe_metz import STRUCTURES, simulate
from xemplar_evaluator.readers.significance import (
    arm_interval,
    compare,
    components,
    f_test,
)

from xemplar.errors import DatasetError


def van_dyke():
    """Ratings of spin-echo and cine MRI for aortic dissection: truth, scores (2, 5, 114).

    Van Dyke et al., 79th RSNA, 1993: the example of RJafroc and MRMCaov, which print their results.
    """
    with (Path(__file__).parent / "van_dyke.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = [np.array([list(map(int, pair)) for pair in row["ratings"].split()]) for row in rows]
    readers = [np.concatenate([pairs[n], pairs[n + 1]]).T for n in range(0, len(pairs), 2)]
    truth = np.arange(114) >= len(pairs[0])
    return truth, np.stack(readers, axis=1)


def test_a_public_simulated_study_has_the_figures_of_rjafroc():
    # the draws of RandomState(1987), in the model's order, and RJafroc's results for them are a
    # public test case; the scores were kept as float32
    truth = np.arange(400) >= 200
    draw = np.random.RandomState(1987)
    scores = simulate(truth, 10, [0.821, 0.821], STRUCTURES["HL"], draw).astype(np.float32)
    found = compare(areas(truth, scores), 0, 1)
    assert found.effect == pytest.approx(0.00451, abs=1e-6)
    assert found.p == pytest.approx(0.8502715, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((-0.04284442691, 0.05186442691), abs=1e-6)
    assert found.df == pytest.approx(85.5241922, abs=1e-4)


def test_van_dykes_study_has_the_figures_of_rjafroc_and_mrmcaov():
    measured = areas(*van_dyke())
    parts = components(measured)
    assert parts.arms == pytest.approx(0.004796171, abs=1e-9)
    assert parts.interaction == pytest.approx(0.0005510306, abs=1e-10)
    assert parts.same_arm == pytest.approx(0.0003440748, abs=1e-10)
    assert parts.neither == pytest.approx(0.0002390284, abs=1e-10)
    found = f_test(measured)
    assert found.statistic == pytest.approx(4.456319, abs=1e-6)
    assert found.p == pytest.approx(0.05166569, abs=1e-8)
    assert found.df[1] == pytest.approx(15.25967, abs=1e-5)
    pair = compare(measured, 1, 0)
    assert pair.effect == pytest.approx(-0.04380032, abs=1e-8)
    assert pair.standard_error == pytest.approx(0.02074862, abs=1e-8)
    assert pair.p == pytest.approx(found.p)  # two arms: t squared is F


def test_each_auc_is_sklearns_ties_included():
    truth, scores = van_dyke()
    expected = [[roc_auc_score(truth, one) for one in arm] for arm in scores]
    assert areas(truth, scores).auc == pytest.approx(np.array(expected))


def test_the_jackknife_leaves_out_one_film_at_a_time():
    truth, scores = van_dyke()
    films = len(truth)
    without = np.array(
        [
            [roc_auc_score(np.delete(truth, n), np.delete(one, n)) for n in range(films)]
            for one in scores[:, 0]
        ]
    )
    expected = np.cov(without) * (films - 1) ** 2 / films
    assert areas(truth, scores[:, :1]).covariance == pytest.approx(expected)


def test_delongs_covariances_are_close_to_the_jackknifes():
    truth, scores = van_dyke()
    one, other = (areas(truth, scores, method).covariance for method in ("jackknife", "DeLong"))
    assert not np.array_equal(one, other)
    assert np.abs(one - other).max() < 0.05 * np.abs(one).max()


def test_films_alone_or_readers_alone_are_a_narrower_claim():
    measured = areas(*van_dyke())
    both = compare(measured, 0, 1)
    films, readers = (compare(measured, 0, 1, only) for only in ("films", "readers"))
    assert films.df == np.inf
    assert readers.df == 4
    assert {films.effect, readers.effect} == {both.effect}
    assert max(films.standard_error, readers.standard_error) < both.standard_error


def test_an_arms_interval_holds_its_mean():
    mean, low, high = arm_interval(areas(*van_dyke()), 0)
    assert low < mean < high <= 1
    assert mean == pytest.approx(0.8970370)


def test_readers_who_all_say_the_same_cannot_be_compared():
    truth = np.arange(20) >= 10
    with pytest.raises(DatasetError, match="do not vary"):
        compare(areas(truth, np.tile(truth.astype(float), (2, 3, 1))), 0, 1)


@pytest.mark.parametrize("shape", [(1, 3), (2, 1)])
def test_one_arm_or_one_reader_is_no_comparison(shape):
    measured = Areas(np.full(shape, 0.8), np.eye(shape[0] * shape[1]))
    with pytest.raises(DatasetError, match="needs two of each"):
        components(measured)


def test_too_few_films_of_a_kind_are_refused():
    with pytest.raises(DatasetError, match="1 films have the finding and 9 have not"):
        areas(np.arange(10) == 0, np.zeros((2, 2, 10)))


def test_a_missing_score_is_refused():
    scores = np.zeros((2, 2, 10))
    scores[1, 0, 3] = np.nan
    with pytest.raises(DatasetError, match="1 scores are missing"):
        areas(np.arange(10) < 5, scores)
