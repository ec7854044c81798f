"""The report beside a case: folded, the words of the search marked, never read as markup."""

import json
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.app.reading import needs_chromium, send

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=alert(1)> Left effusion."
AT = HOSTILE.index("effusion")


def with_reports(route: Route) -> None:
    """The service's answer, with a report for its first case."""
    answer: dict[str, Any] = route.fetch().json()
    first, second = answer["neighbours"][:2]
    first["report"] = {
        "findings": HOSTILE,
        "impression": "",
        "labels_mined": True,
        "marks": [{"section": "findings", "start": AT, "end": AT + len("effusion")}],
    }
    first["ranks"] = {"score": 0.1, "by_image": 3, "by_words": 1}
    second["ranks"] = {"score": 0.1, "by_image": 1, "by_words": None}
    route.fulfill(body=json.dumps(answer), content_type="application/json")


def test_a_report_is_text_with_the_words_of_the_search_marked(page: Page) -> None:
    page.route("**/query?*", with_reports)
    page.route("**/similar?*", with_reports)
    send(page)
    report = page.locator(".card details.report")
    expect(report).to_have_count(1)
    expect(report.locator("summary")).to_have_text("Report · 1 marked")
    expect(report.locator("mark")).to_be_hidden()
    report.locator("summary").click()
    expect(report.locator("mark")).to_have_text("effusion")
    expect(report).to_contain_text(HOSTILE)
    expect(report.locator("img")).to_have_count(0)
    expect(report).to_contain_text("By image: 3 · by words: 1")
    expect(page.locator(".card").nth(1)).to_contain_text("by words: none of them")


def test_words_to_search_for_are_in_the_address_and_can_be_removed(page: Page) -> None:
    send(page)
    page.locator("details.filters summary").first.click()
    field = page.locator("#filter-says")
    field.fill("no effusion")
    field.press("Enter")
    chip = page.get_by_role("button", name="Remove: report says: no effusion")
    expect(chip).to_be_visible()
    assert "says=no+effusion" in page.url
    chip.click()
    expect(chip).to_have_count(0)
