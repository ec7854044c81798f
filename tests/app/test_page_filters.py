"""Narrowing down: conditions, each a chip and an address; counter-examples, more like one case."""

import re

from playwright.sync_api import Page, expect

from tests.app.reading import needs_chromium, open_filters, send

pytestmark = needs_chromium


def test_an_answer_is_narrowed_down_and_opened_again(page: Page) -> None:
    send(page)
    open_filters(page)
    page.focus("#filter-sex")
    page.select_option("#filter-sex", "F")
    expect(page.locator(".bar-top small")).to_have_text("of 6 that match")
    expect(page.locator(".filters")).to_have_attribute("open", "")
    expect(page.locator("#filter-sex")).to_be_focused()
    page.fill("#filter-k", "3")
    page.keyboard.press("Tab")
    expect(page.locator(".card")).to_have_count(3)
    page.select_option("#filter-finding-Effusion", "none_of")
    expect(page.locator(".bar-top small")).to_have_text("of 3 that match")
    expect(page.locator(".chips li")).to_have_count(4)  # sex, k, the finding; and all
    page.locator(".chips button", has_text="female").click()
    expect(page.locator(".bar-top small")).to_have_text("of 9 that match")
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".card")).to_have_count(5)


def test_each_condition_narrows_the_answer_and_says_so(page: Page) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    open_filters(page)
    wanted: list[str] = []
    for name, value, chip in (
        ("diversity", "0.5", "diversity 0.5"),
        ("min_similarity", "-0.99", "similarity ≥ -0.99"),
        ("age_min", "31", "age ≥ 31"),
        ("age_max", "41", "age ≤ 41"),
        ("view", "PA, ap", "view PA"),
        ("source", "drawn", "data set drawn"),
        ("indexed_since", "2020-01-31", "since 2020-01-31"),
        ("indexed_until", "2120-01-31", "until 2120-01-31"),
        ("near_duplicates", "", "no near duplicates"),
        ("one_per_patient", "", "several cases of a patient"),
        ("exact", "", "all cases compared"),
        ("same_patient", "", "same patient too"),
    ):
        field = page.locator(f"#filter-{name}")
        if value:
            field.fill(value)
            field.press("Tab")
        else:
            field.check()
        wanted += [chip, "view ap"] if name == "view" else [chip]
        expect(page.locator(".chips li")).to_have_count(len(wanted) + 1)  # and "Clear all"
    page.select_option("#filter-finding-Mass", "any_of")
    wanted.append("one of: Mass")
    page.select_option("#filter-sex", "F")
    wanted.append("female")
    chips = page.locator(".chips li:not(:last-child)")
    expect(chips).to_have_text([f"{text}×" for text in wanted])
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator(".card")).to_have_count(0)  # every Mass is a man's here
    expect(page.locator("main")).to_contain_text("No case meets all conditions")
    page.get_by_role("button", name="Remove: female").click()
    expect(page.locator(".card").first).to_be_visible()
    page.locator("#filter-age_min").fill("")
    page.locator("#filter-age_min").press("Tab")
    expect(chips).to_have_count(len(wanted) - 2)
    (itself,) = re.findall("case/([0-9a-f]{16})", page.url)
    page.goto(f"{page.url}&exclude={itself}")
    expect(chips.last).to_have_text(f"not case {itself}×")


def test_patients_like_that_of_a_past_case_are_asked_for_at_once(page: Page) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    page.locator(".filters > summary").click()
    page.get_by_role("button", name="Patients like this one").click()
    chips = page.locator(".chips li:not(:last-child)")
    expect(chips).to_have_count(4)
    for about in ("age ≥", "age ≤", "male", "view PA"):
        expect(page.locator(".chips")).to_contain_text(about)


def test_filters_offer_the_findings_of_the_labels_beside_those_of_the_network(page: Page) -> None:
    expect(page.locator("#of option")).to_have_text(
        ["any finding, or none", "Effusion (3)", "Mass (3)", "No Finding (3)", "Nodule (3)"]
    )
    send(page)
    open_filters(page)
    expect(page.locator(".filters fieldset select")).to_have_count(15)
    page.select_option("#filter-finding-No\\ Finding", "all_of")
    expect(page.locator(".bar-top small")).to_have_text("of 3 that match")


def test_counter_examples_and_more_like_one(page: Page) -> None:
    page.goto(page.url + "#/")
    send(page)
    page.locator(".finding", has_text="Effusion").click()
    contrast = page.get_by_role("button", name="With and without Effusion")
    contrast.click()
    expect(page.get_by_role("heading", name="Most similar with Effusion")).to_be_visible()
    expect(page.get_by_role("heading", name="Most similar without Effusion")).to_be_visible()
    expect(page.locator(".cards").first.locator(".card")).to_have_count(3)  # all that have it
    cases = [str(one.get_attribute("data-focus")) for one in page.locator(".thumbnail").all()]
    assert len(cases) > 3
    assert len(set(cases)) == len(cases)
    contrast.click()
    expect(page.locator(".card")).to_have_count(5)
    page.get_by_role("button", name=re.compile("Use case")).first.click()
    expect(page.get_by_role("heading", name="Past case")).to_be_visible()
    assert "#/case/" in page.url
