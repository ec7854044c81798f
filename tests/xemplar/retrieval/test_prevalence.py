"""What similar cases show and turned out to be, beside all cases that match."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tests.stores import CASES, SmallStore
from tests.xemplar.retrieval.test_timeline import CASE
from xemplar.api import Search
from xemplar.catalog import Case, open_catalog
from xemplar.catalog.tally import Tally
from xemplar.data.outcomes import Diagnosis, Outcome, Proof
from xemplar.retrieval.prevalence import prevalence, wilson
from xemplar.retrieval.retriever import Retriever

CANCER = (Outcome(Diagnosis.LUNG_CANCER, Proof.BIOPSY),)
ARCHIVE = Tally(
    cases=100, present={"Mass": 8}, known={"Mass": 80}, outcomes={"Lung Cancer": 4}, verified=20
)


def cases(*told: dict[str, Any]) -> list[Case]:
    return [replace(CASE, id=number, **fields) for number, fields in enumerate(told)]


@given(st.integers(1, 100).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_that_of_scipy(some: tuple[int, int]) -> None:
    right = binomtest(*some).proportion_ci(method="wilson")
    assert wilson(*some) == pytest.approx((right.low, right.high), abs=1e-12)


def test_the_share_is_of_cases_in_which_it_is_known() -> None:
    near = cases(
        {"labels": {"Mass": 1}, "outcomes": CANCER},
        {"labels": {"Mass": 0, "Effusion": 1}},
        {"labels": {"Mass": -1}, "outcomes": ()},
        {"labels": {}},
        {"labels": {"No Finding": 1}},
    )
    found = prevalence(near, ARCHIVE)
    assert found.cases == 5
    mass = next(share for share in found.findings if share.name == "Mass")
    assert (mass.count, mass.known, mass.archive_count, mass.archive_known) == (1, 3, 8, 80)
    healthy = next(share for share in found.findings if share.name == "No Finding")
    assert (healthy.count, healthy.known, healthy.archive_known) == (1, 3, 0)
    (cancer,) = found.outcomes
    assert (cancer.count, cancer.known, cancer.archive_count, cancer.archive_known) == (1, 1, 4, 20)
    assert 0.2 < cancer.low < 0.25


def test_a_patient_counts_once_with_the_most_similar_film() -> None:
    near = cases(
        {"labels": {"Mass": 1}, "patient": "a"},
        {"labels": {"Effusion": 1}, "patient": "a"},
        {"labels": {"Mass": 0}},
        {"labels": {"Mass": 0}},
    )
    found = prevalence(near, ARCHIVE)
    assert found.cases == 3
    assert [(one.name, one.count, one.known) for one in found.findings][-1] == ("Mass", 1, 3)
    assert "Effusion" not in {one.name for one in found.findings}


def test_neither_the_querys_own_case_nor_its_patient_counts() -> None:
    own, other, far = cases(
        {"labels": {"Mass": 1}, "patient": "a"}, {"labels": {"Mass": 1}, "patient": "a"},
        {"labels": {"Mass": 1}, "patient": "b"},
    )  # fmt: skip
    assert prevalence([own, other, far], ARCHIVE, own).cases == 1
    nobody = replace(own, patient=None)
    assert prevalence([nobody, replace(other, patient=None)], ARCHIVE, nobody).cases == 1


def test_nothing_similar_tells_nothing() -> None:
    assert prevalence([], ARCHIVE).findings == ()
    assert prevalence([], ARCHIVE).cases == 0


def test_an_answer_compares_with_the_cases_that_match(own: SmallStore) -> None:
    with open_catalog(own.store.database_url) as catalog:
        for number, case in catalog.cases(range(1, CASES + 1)).items():
            if number % 3 == 0:
                catalog.describe(case.case_id, {"outcomes": CANCER})
    opened = Retriever.open(own.checkpoint, own.store)
    try:
        assert opened.ask(own.images[0], Search(k=3)).prevalence is None
        found = opened.ask(own.images[0], Search(k=CASES, sex="F", prevalence=True)).prevalence
        assert found is not None
        assert found.cases == CASES // 2 - 1  # without the image's own case
        (cancer,) = found.outcomes
        assert (cancer.count, cancer.known) == (2, 2)
        assert (cancer.archive_count, cancer.archive_known) == (2, 2)
        effusion = next(one for one in found.findings if one.name == "Effusion")
        assert (effusion.count, effusion.archive_count) == (2, 3)
    finally:
        opened.close()
