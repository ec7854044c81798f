"""Vocabularies, and uncertain and unknown labels."""

import numpy as np
import pytest

from xemplar.data.findings import (
    CHEXPERT14,
    NIH14,
    NO_FINDING,
    UncertainPolicy,
    canonical,
    finding_index,
    known_finding,
    nearest_findings,
    positives,
    targets,
)
from xemplar.data.translations import TRANSLATIONS
from xemplar.errors import DatasetError, UnknownFinding


@pytest.mark.parametrize("vocabulary", [NIH14, CHEXPERT14])
def test_a_vocabulary_has_14_different_findings(vocabulary: tuple[str, ...]) -> None:
    assert len(set(vocabulary)) == 14


def test_both_vocabularies_share_seven_findings_under_one_name() -> None:
    shared = set(NIH14) & {canonical(name) for name in CHEXPERT14}
    assert shared == {
        "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Pneumonia",
        "Pneumothorax",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Pleural Effusion", "Effusion"),
        (" Pleural Thickening ", "Pleural_Thickening"),
        ("Edema", "Edema"),
        ("EDEMA", "Edema"),
        ("pulmonary oedema", "Edema"),
        ("pleural_effusion", "Effusion"),
        ("Infiltrate", "Infiltration"),
        ("normal", "No Finding"),
        ("Effusion?", "Effusion?"),
        ("no effusion", "no effusion"),
        (" Something else ", "Something else"),
    ],
)
def test_a_name_has_one_spelling(written: str, name: str) -> None:
    assert canonical(written) == name


@pytest.mark.parametrize(
    ("labels", "present"),
    [
        ({"Edema": 1, "Mass": 1, "Hernia": 0}, ("Edema", "Mass")),
        ({"Mass": 1, "Edema": 1}, ("Edema", "Mass")),
        ({"Edema": 0, "Mass": 0}, (NO_FINDING,)),
        ({"Edema": 0, NO_FINDING: 1}, (NO_FINDING,)),
        ({"Edema": 1, NO_FINDING: 1}, ("Edema",)),
        ({"Edema": 0, "Mass": -1}, ()),
        ({}, ()),
    ],
)
def test_positives_are_the_findings_that_are_certainly_present(
    labels: dict[str, int], present: tuple[str, ...]
) -> None:
    assert positives(labels) == present


def test_a_finding_is_found_by_any_of_its_names() -> None:
    assert finding_index(NIH14, "Pleural Effusion") == NIH14.index("Effusion")


def test_an_unknown_finding_is_rejected_with_the_vocabulary() -> None:
    with pytest.raises(UnknownFinding, match=r"'Tuberculosis'; .* knows: Edema, Mass"):
        finding_index(("Edema", "Mass"), "Tuberculosis")


@pytest.mark.parametrize(
    ("written", "near"),
    [("Efusion", "Effusion"), ("Cardiomegalie", "Cardiomegaly"), ("Pleural efusion", "Effusion")],
)
def test_the_nearest_known_findings_are_reported(written: str, near: str) -> None:
    assert nearest_findings(written)[0] == near
    with pytest.raises(UnknownFinding, match=rf"{written}', perhaps {near}"):
        known_finding(written, NIH14)


def test_a_finding_is_returned_in_the_vocabularys_spelling() -> None:
    assert known_finding("SARCOID", ("Mass", "Sarcoid")) == "Sarcoid"


FINDINGS = ("Edema", "Mass", "Hernia", "Nodule")
LABELS = {"Edema": 1, "Mass": 0, "Hernia": -1}  # Nodule: unknown


@pytest.mark.parametrize(
    ("policy", "target", "known"),
    [
        (UncertainPolicy.POSITIVE, [1, 0, 1, 0], [1, 1, 1, 0]),
        (UncertainPolicy.NEGATIVE, [1, 0, 0, 0], [1, 1, 1, 0]),
        (UncertainPolicy.IGNORE, [1, 0, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_an_uncertain_label_follows_the_policy(
    policy: UncertainPolicy, target: list[int], known: list[int]
) -> None:
    found = targets(LABELS, FINDINGS, policy)
    np.testing.assert_array_equal(found, [target, known])
    assert [array.dtype for array in found] == [np.float32, np.float32]


def test_an_invalid_label_is_rejected() -> None:
    with pytest.raises(DatasetError, match="label 2 of 'Mass' is none of 1, 0, -1"):
        targets({"Mass": 2}, FINDINGS)


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("Pleuraerguss", "Effusion"),
        ("cardiomégalie", "Cardiomegaly"),
        ("NEUMONÍA", "Pneumonia"),
        ("ohne Befund", "No Finding"),
        ("Versamento pleurico", "Effusion"),
    ],
)
def test_findings_are_known_in_other_languages(written: str, known: str) -> None:
    assert canonical(written) == known


def test_a_word_of_another_language_means_one_finding() -> None:
    words = [word for words in TRANSLATIONS.values() for word in words]
    assert len(words) == len(set(words))
    assert {canonical(word) for word in words} == set(TRANSLATIONS)
