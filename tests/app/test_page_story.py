"""What became of cases, on the page: outcomes, the patient's films, what similar cases were."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.reading import (
    SCREENS,
    every_look,
    needs_chromium,
    obeys_wcag,
    pictures_shown,
    removed,
    send,
)

pytestmark = needs_chromium

HOSTILE = '<img src=x onerror="alert(1)"><b>Mass</b>'
TIMELINE = re.compile(r"/cases/[0-9a-f]{16}/timeline$")
COURSE = {"followup": None, "day": None, "outcomes": [], "called": ["Effusion"]}


def outcome(diagnosis: str = "Lung Cancer", proof: str = "biopsy", days: int | None = 12) -> Any:
    return {"diagnosis": diagnosis, "proof": proof, "days": days}


def share(name: str, count: int = 3, known: int = 4) -> dict[str, Any]:
    about = {"low": 0.3, "high": 0.95, "archive_count": 20, "archive_known": 200}
    return {"name": name, "count": count, "known": known} | about


def story(page: Page, name: str = "Lung Cancer", finding: str = "Mass") -> None:
    """Let the service tell of the first case's outcome and of what similar cases were."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        first, second, *_ = body["neighbours"]
        first |= {"outcomes": [outcome(name)], "more_of_patient": [second["case_id"]]}
        body["prevalence"] = {"cases": 5, "findings": [share(finding)], "outcomes": [share(name)]}
        route.fulfill(response=response, json=body)

    page.route("**/query?*", answer)


def films(page: Page, order: str = "day", finding: str = "Mass") -> None:
    """Let the service tell of another film of each patient."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        (film,) = body["films"]
        earlier = film | COURSE | {"case_id": "0" * 16, "since_first": 0, "findings": [finding]}
        earlier["called"] = [finding]
        now = film | COURSE | {"since_first": 800, "outcomes": [outcome()]}
        body |= {"films": [earlier, now], "order": order, "left_out": 7}
        route.fulfill(response=response, json=body)

    page.route(TIMELINE, answer)


def test_an_answer_tells_what_its_cases_turned_out_to_be(page: Page) -> None:
    with page.expect_request("**/query?*") as asked:
        send(page)
    assert "prevalence=true" in asked.value.url
    section = page.locator(".prevalence")
    expect(section).to_contain_text("What these 5 cases turned out to be")
    expect(section).to_contain_text("not the chance of a diagnosis")
    expect(section).to_contain_text("No outcome of these cases is verified.")
    expect(section.locator("tbody tr").nth(2)).to_contain_text(re.compile(r"\d of \d.*% to .*%"))


def test_a_share_stands_beside_that_of_all_that_match(page: Page) -> None:
    story(page)
    send(page)
    row = page.locator(".prevalence tbody tr").filter(has_text="Lung Cancer")
    expect(row).to_have_text(re.compile("Lung Cancer.*3 of 4.*30 % to 95 %.*10 %"))


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (12, "biopsy, 12 days later"),
        (-1, "biopsy, 1 day earlier"),
        (0, "biopsy, same day"),
        (1500, "biopsy, 4.1 years later"),
        (None, "biopsy"),
    ],
)
def test_an_outcome_names_its_proof_and_when(page: Page, days: int | None, said: str) -> None:
    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        body["neighbours"][0]["outcomes"] = [outcome(days=days)]
        route.fulfill(response=response, json=body)

    page.route("**/query?*", answer)
    send(page)
    badge = page.locator(".card .outcomes")
    expect(badge).to_have_count(1)
    expect(badge.locator("li").last).to_have_text(f"Lung Cancer {said}")


def test_a_card_unfolds_its_patients_films_in_order(page: Page) -> None:
    story(page)
    films(page)
    send(page)
    page.get_by_text("+1 more of this patient").click()
    shown = page.locator(".card .timeline li")
    expect(shown).to_have_count(2)
    expect(shown.first).to_have_text("first filmMassnetwork: Mass")
    expect(shown.last).to_have_text(re.compile("2.2 years.+network: EffusionLung Cancer"))
    expect(shown.last).to_have_attribute("aria-current", "true")
    expect(page.locator(".card .timeline")).to_contain_text("7 more, farther away in time.")
    expect(shown.locator("a")).to_have_attribute("href", "#/case/0000000000000000")


def test_an_order_that_is_not_known_is_said(page: Page) -> None:
    story(page)
    films(page, "partial")
    send(page)
    page.get_by_text("+1 more of this patient").click()
    expect(page.locator(".card .timeline")).to_contain_text("they come last")


def test_films_that_cannot_be_had_say_why_and_are_asked_again(page: Page) -> None:
    story(page)
    page.route(TIMELINE, removed, times=1)
    send(page)
    summary = page.get_by_text("+1 more of this patient")
    summary.click()
    expect(page.locator(".card .timeline")).to_contain_text("it was removed")
    summary.click()
    summary.click()
    expect(page.locator(".card .timeline li")).to_have_count(1)


@pytest.fixture
def faults() -> list[str]:
    """Messages of the browser about pictures that are not there, on purpose."""
    return ["404"]


def test_no_text_of_the_service_becomes_html(page: Page) -> None:
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    story(page, name=HOSTILE, finding=HOSTILE)
    films(page, finding=HOSTILE)
    send(page)
    page.get_by_text("+1 more of this patient").click()
    expect(page.locator(".timeline li")).to_have_count(2)
    for where in (".outcomes strong", ".prevalence tbody", ".timeline li"):
        expect(page.locator(where).first).to_contain_text(HOSTILE)
    assert page.locator("img[onerror]").count() == 0
    assert page.locator(".outcomes b, .prevalence th b, .timeline b").count() == 0


@every_look
def test_story_obeys_wcag(page: Page, tmp_path: Path, screen: str, theme: str) -> None:
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_role("button", name="Light theme").click()
    story(page)
    films(page)
    send(page)
    page.get_by_text("+1 more of this patient").click()
    expect(page.locator(".timeline li")).to_have_count(2)
    pictures_shown(page, ".cards > .card")
    obeys_wcag(page, tmp_path / f"story-{screen}-{theme}.png")
