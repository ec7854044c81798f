"""What is relevant, against values worked out by hand."""

import numpy as np
import pytest
from xemplar_evaluator.ranking.relevance import (
    indicators,
    jaccard,
    names_of,
    overlap,
    same_findings,
    severities,
    shares_a_finding,
)

QUERIES = [("Effusion", "Mass"), ("No Finding",), ()]
CASES = [("Effusion",), ("Effusion", "Mass", "Nodule"), ("No Finding",), ()]


@pytest.fixture
def matrices():
    names = names_of(QUERIES, CASES)
    return indicators(QUERIES, names), indicators(CASES, names)


def test_no_finding_is_no_finding_to_have_in_common() -> None:
    assert names_of(QUERIES, CASES) == ["Effusion", "Mass", "Nodule"]


def test_jaccard_is_findings_in_common_over_findings_in_either(matrices) -> None:
    # {E, M} and {E}: 1 of 2; {E, M} and {E, M, N}: 2 of 3; nothing in common with no finding
    assert jaccard(*matrices)[0] == pytest.approx([1 / 2, 2 / 3, 0, 0])


def test_two_normal_images_have_no_finding_in_common(matrices) -> None:
    assert not jaccard(*matrices)[1].any()
    assert shares_a_finding(*matrices).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_two_normal_images_have_the_same_findings_and_two_unknown_ones_have_not() -> None:
    assert same_findings(QUERIES, CASES).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_severities_overlap_by_degree() -> None:
    severity = {"a": {"Effusion": 0.8, "Mass": 0.5}, "b": {"Effusion": 0.4}}
    degrees = severities(["a", "b", None], ["Effusion", "Mass"], severity)
    # smaller: 0.4 + 0; larger: 0.8 + 0.5
    assert overlap(degrees[:1], degrees)[0] == pytest.approx([1, 0.4 / 1.3, 0])


def test_images_without_any_severity_do_not_overlap() -> None:
    assert overlap(np.zeros((1, 2)), np.zeros((1, 2)))[0, 0] == 0
