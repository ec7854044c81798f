"""The scrubber keeps words of chest reports, and nothing of who the patient is."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xemplar.reports.identities import KINDS, found, plant
from xemplar.phantom.report import PRESENT, phantom_report
from xemplar.reports.numbers import is_number_of_reports
from xemplar.reports.scrub import MARK, scrub
from xemplar.reports.vocabulary import also_names, corrected, is_known, vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_planted_identity_is_left(kind: str) -> None:
    draw = random.Random(kind)
    for number in range(10):
        text = phantom_report(draw.sample(list(PRESENT), number % 4), number).findings
        planted = plant(text, kind, draw)
        before, after = scrub(text).text, scrub(planted.text).text
        left = [one for one in planted.secrets if found(one, after) > found(one, before)]
        assert not left, (planted.text, after)


@pytest.mark.parametrize("number", range(20))
def test_a_report_without_identity_stays_as_it_is(number: int) -> None:
    draw = random.Random(number)
    report = phantom_report(draw.sample(list(PRESENT), number % 4), number, typos=0)
    assert scrub(report.findings).text == report.findings


@given(st.text())
def test_whatever_remains_is_on_a_list(text: str) -> None:
    for run in scrub(text).text.split():
        for part in re.split(r"[^\w%.×-]+", run):
            core = part.strip("._-")
            words = [word for word in re.split(r"[-.]", core) if word]
            known = all(is_known(word) or word == "s" for word in words)
            assert known or any(letter.isdigit() for letter in core), run


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=60))
def test_scrubbing_again_changes_nothing(text: str) -> None:
    once = scrub(text).text
    assert scrub(once).text == once


@pytest.mark.parametrize(
    ("text", "remains"),
    [
        ("Small left effusion.", "Small left effusion."),
        ("Dr. Small saw a small effusion.", "___ saw a small effusion."),
        ("Mary Long has a long line.", "___ has a long line."),
        ("May represent edema.", "May represent edema."),
        ("Seen in May 2019.", "Seen in ___."),
        ("No Kowalski sign.", "No ___ sign."),
        ("Effusion.No edema.", "Effusion.No edema."),
        ("Impression: no change", "Impression: no change"),
    ],
)
def test_words_that_are_names_as_well_are_judged_by_their_neighbours(
    text: str, remains: str
) -> None:
    assert scrub(text).text == remains


@pytest.mark.parametrize(
    "text",
    [
        "2.3 cm nodule",
        "2.3 x 1.4 cm mass",
        "3-4 mm nodules",
        "12mm nodule",
        "fracture of T12",
        "T4-T6 fusion",
        "5th rib fracture",
        "ribs 5-7",
        "10% pneumothorax",
        "2 views",
        "1. Cardiomegaly",
    ],
)
def test_numbers_of_chest_reports_stay(text: str) -> None:
    assert scrub(text).text == text


@pytest.mark.parametrize(
    "number", ["171 cm", "65", "12/03/1961", "10:45", "T13", "C9", "1961", "5th", "0221", "99 mm2"]
)
def test_other_numbers_go(number: str) -> None:
    first, *following = number.split()
    assert not is_number_of_reports(first, [], following)
    assert first not in scrub(f"Nodule {number}").text


def test_a_typing_error_of_a_long_word_is_corrected() -> None:
    assert (
        scrub("No pneumothroax or consolidaton, atelectassis.").text
        == "No pneumothorax or consolidation, atelectasis."
    )


def test_a_name_is_not_corrected_to_a_word() -> None:
    assert scrub("Seen with Effusione today.").text == f"Seen with {MARK} today."
    assert corrected("martin") is None  # a name, one letter from "margin"


def test_a_denial_is_never_removed_beside_a_name() -> None:
    assert scrub("Kowalski No effusion.").text == f"{MARK} No effusion."


def test_every_word_that_is_a_name_as_well_is_in_the_vocabulary() -> None:
    assert also_names() <= vocabulary()
