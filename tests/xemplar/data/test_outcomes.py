"""Outcomes: closed lists, found in any spelling, and no day before a birth."""

import pytest

from xemplar.data.outcomes import Diagnosis, Outcome, Proof, check_times
from xemplar.errors import InvalidArgument

CANCER = Outcome(Diagnosis.LUNG_CANCER, Proof.BIOPSY)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lung cancer", "Lung Cancer"),
        ("LUNG_CANCER", "Lung Cancer"),
        ("tb", "Tuberculosis"),
        ("Normal", "No Disease"),
        ("Covid 19", "COVID-19"),
    ],
)
def test_a_diagnosis_is_known_in_any_spelling_and_by_synonyms(written: str, meant: str) -> None:
    assert Diagnosis.read(written) == meant


@pytest.mark.parametrize(("written", "meant"), [("ct", "CT"), ("Follow up", "follow-up")])
def test_a_proof_is_known_in_any_spelling(written: str, meant: str) -> None:
    assert Proof.read(written) == meant


def test_an_unknown_diagnosis_or_proof_is_refused_with_the_nearest_and_the_list() -> None:
    with pytest.raises(InvalidArgument, match="perhaps Sarcoidosis; known are: No Disease, ") as no:
        Diagnosis.read("Sarkoidosis")
    assert "'Sarkoidosis'" in str(no.value)
    with pytest.raises(InvalidArgument, match="unknown proof 'guess'; known are: biopsy, surgery"):
        Proof.read("guess")


def test_text_of_any_length_is_refused_in_short() -> None:
    with pytest.raises(InvalidArgument) as refused:
        Diagnosis.read("<script>" * 100_000)
    assert len(str(refused.value)) < 800


def test_every_diagnosis_has_a_bit_in_the_columns_that_count_it() -> None:
    assert len(Diagnosis) <= 32


def test_nothing_may_lie_before_the_birth() -> None:
    check_times(0, 366, [Outcome(Diagnosis.PNEUMONIA, Proof.CT, -366)])
    with pytest.raises(InvalidArgument, match="day is 367: a patient who is 0 at this study"):
        check_times(0, 367, [])
    with pytest.raises(InvalidArgument, match="Pneumonia was proven 800 days before the study"):
        check_times(1, None, [Outcome(Diagnosis.PNEUMONIA, Proof.CT, -800)])
    check_times(None, 10_000, [Outcome(Diagnosis.PNEUMONIA, Proof.CT, -10_000)])


def test_outcomes_do_not_contradict_each_other() -> None:
    with pytest.raises(InvalidArgument, match="Lung Cancer is named twice"):
        check_times(None, None, [CANCER, Outcome(Diagnosis.LUNG_CANCER, Proof.CT)])
    with pytest.raises(InvalidArgument, match="No Disease stands beside another outcome"):
        check_times(None, None, [CANCER, Outcome(Diagnosis.NO_DISEASE, Proof.CT)])
