"""What cases do to readers, and the readers' agreement."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from xemplar_evaluator.readers.agreement import agreement
from xemplar_evaluator.readers.readings import Readings
from xemplar_evaluator.readers.trust import brier, influence, told_apart

FILMS = 40
TRUTH = np.arange(FILMS) % 2 == 0


def readings(without, similar, wrong, trust_similar=80.0, trust_wrong=80.0):
    """Two readers who answer alike; confidences by arm (N,)."""
    confidence = np.stack([np.tile(one, (2, 1)) for one in (without, similar, wrong)])
    trust = np.full_like(confidence, np.nan)
    trust[1], trust[2] = trust_similar, trust_wrong
    names = [f"{film:016x}" for film in range(FILMS)]
    arms, readers = ("without", "similar", "wrong"), ("reader-1", "reader-2")
    return Readings(arms, readers, names, TRUTH, confidence, trust, np.ones_like(confidence))


def test_wrong_cases_that_change_a_right_answer_mislead():
    sure = np.where(TRUTH, 90.0, 10.0)
    turned = np.where(np.arange(FILMS) < 10, 100 - sure, sure)
    found = influence(readings(sure, sure, turned), 0, 2, 100, 0)
    assert found.misled.value == pytest.approx(10 / FILMS)
    assert found.misled.low < 10 / FILMS < found.misled.high
    assert found.towards_truth.value == pytest.approx(-80 * 10 / FILMS)
    assert found.helped is None  # nobody was wrong


def test_similar_cases_that_correct_a_wrong_answer_help():
    sure = np.where(TRUTH, 90.0, 10.0)
    found = influence(readings(100 - sure, sure, sure), 0, 1, 100, 0)
    assert found.helped.value == 1
    assert found.misled is None
    assert found.towards_truth.value == pytest.approx(80)


def test_trust_that_tells_wrong_cases_from_similar_ones_has_an_auc_of_one():
    sure = np.where(TRUTH, 90.0, 10.0)
    assert told_apart(readings(sure, sure, sure, 80, 20), 1, 2, 100, 0).value == 1
    assert told_apart(readings(sure, sure, sure, 80, 80), 1, 2, 100, 0).value == 0.5


def test_trust_that_was_not_asked_for_tells_nothing():
    sure = np.where(TRUTH, 90.0, 10.0)
    assert told_apart(readings(sure, sure, sure), 0, 2, 100, 0) is None


def test_the_brier_score_is_the_mean_squared_error():
    half = np.full(FILMS, 50.0)
    assert brier(readings(half, half, half), 0, 100, 0).value == pytest.approx(0.25)


def test_agreement_is_the_mean_of_sklearns_kappas():
    draw = np.random.default_rng(0)
    present = draw.random((3, FILMS)) < 0.5
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([cohen_kappa_score(present[a], present[b]) for a, b in pairs])
    found = agreement(present, 200, 0)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high


def test_readers_who_all_say_the_same_of_all_films_have_no_kappa():
    assert agreement(np.ones((2, FILMS), bool), 20, 0) is None
