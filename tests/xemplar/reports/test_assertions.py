"""Reports are read with their denials: what they assert, deny and leave open."""

import random

import pytest

from xemplar.errors import InvalidArgument
from xemplar.phantom.report import PRESENT, phantom_report
from xemplar.reports.mentions import mined_labels
from xemplar.reports.report import StoredReport
from xemplar.reports.terms import places, terms_of, wanted

PRESENT_ONES = [
    "Small left pleural effusion.",
    "No change in the left effusion.",
    "Effusion without pneumothorax.",
    "No pneumothorax and small left effusion.",
    "No pneumothorax, but an effusion.",
    "No pneumothorax. Effusion.",
    "No pneumothorax; effusion on the left.",
    "Not only an effusion.",
    "Heart is not enlarged. Effusion.",
    "There is pleural fluid on the left.",
]
ABSENT_ONES = [
    "No effusion.",
    "No pneumothorax, consolidation or effusion.",
    "No focal consolidation, effusion, or pneumothorax.",
    "There is no evidence of pleural effusion.",
    "Lungs are clear without effusion.",
    "Negative for pleural effusion.",
    "Neither pneumothorax nor effusion.",
    "Effusion is not seen.",
    "Pleural effusion has resolved.",
    "The effusion is no longer seen.",
    "Free of effusion.",
    "Absence of effusion.",
]
UNCERTAIN_ONES = [
    "Possible effusion.",
    "Blunting may represent effusion.",
    "Effusion cannot be excluded.",
    "Cannot exclude effusion.",
    "Questionable effusion.",
    "Opacity suspicious for effusion.",
]
OTHER_ONES = ["Pericardial effusion.", "History of effusion.", "Normal chest.", ""]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, 1) for text in PRESENT_ONES),
        *((text, 0) for text in ABSENT_ONES),
        *((text, -1) for text in UNCERTAIN_ONES),
        *((text, None) for text in OTHER_ONES),
    ],
)
def test_an_effusion_is_present_absent_uncertain_or_not_mentioned(
    text: str, value: int | None
) -> None:
    assert mined_labels(text).get("Effusion") == value
    assert ("f0effusion" in terms_of(StoredReport(text)).split()) == (value in (1, -1) or
        text == "History of effusion.")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Cardiomegaly.", 1),
        ("The heart is enlarged.", 1),
        ("Enlarged cardiac silhouette.", 1),
        ("The heart is not enlarged.", 0),
        ("Heart size is normal.", None),
        ("Large mass behind the heart.", None),
    ],
)
def test_an_enlarged_heart_is_cardiomegaly(text: str, value: int | None) -> None:
    assert mined_labels(text).get("Cardiomegaly") == value


def test_one_mention_as_present_outweighs_the_others() -> None:
    assert mined_labels("No effusion.", "Possible effusion. Effusion.") == {"Effusion": 1}


def test_labels_of_synthetic_reports_are_mined_back() -> None:
    for number in range(300):
        present = random.Random(number).sample(list(PRESENT), number % 4)
        report = phantom_report(present, number, typos=0)
        mined = mined_labels(report.findings, report.impression)
        assert {finding for finding in PRESENT if mined.get(finding) == 1} == set(present), report
        assert not {f for f, value in mined.items() if value == 0} & set(present)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("effusion", "Pleural effusions on both sides."),
        ("enlarged heart", "Cardiomegaly."),
        ("cardiomegaly", "The heart is enlarged."),
        ("oedema", "Pulmonary edema."),
        ("no effusion", "No pneumothorax or effusion."),
        ("effusion without pneumothorax", "Effusion. No pneumothorax."),
        ("left effusoin", "Left effusion."),
        ("catheters", "Central venous catheter."),
    ],
)
def test_a_search_finds_what_says_the_same(asked: str, text: str) -> None:
    terms = {*terms_of(StoredReport(text)).split()}
    # what a search names beside the finding, as its side, must be there as well
    assert {*wanted(asked).terms} <= terms


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("effusion", "No effusion."),
        ("no effusion", "Effusion."),
        ("no effusion", "Clear lungs."),
        ("emphysema", "Subcutaneous emphysema."),
    ],
)
def test_a_search_does_not_find_what_says_otherwise(asked: str, text: str) -> None:
    assert not {*wanted(asked).terms} <= {*terms_of(StoredReport(text)).split()}


def test_the_words_that_match_are_located() -> None:
    report = StoredReport("No left effusion. Enlarged cardiac silhouette.", "Cardiomegaly.")
    found = [
        (place.section, getattr(report, place.section)[place.start : place.end])
        for place in places(report, wanted("cardiomegaly and effusion").terms)
    ]
    assert found == [
        ("findings", "Enlarged"),
        ("findings", "cardiac"),
        ("impression", "Cardiomegaly"),
    ]


@pytest.mark.parametrize("text", ["", "   ", "the of and", "12", "Kowalski", "x" * 501])
def test_a_search_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        wanted(text)


def test_words_that_no_report_can_hold_are_named() -> None:
    assert wanted("effusion of Kowalski").unknown == ("kowalski",)
