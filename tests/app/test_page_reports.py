"""Words alone find cases; the report beside a case is folded, marked, and never read as markup."""

import json
from pathlib import Path
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


def by_words(route: Route) -> None:
    """Two cases of the service, as if the reports of both had the word."""
    root = route.request.url.partition("query?")[0]
    cases: list[dict[str, Any]] = route.fetch(url=f"{root}cases?limit=2", method="GET").json()[
        "cases"
    ]
    mark = {"section": "findings", "start": AT, "end": AT + len("effusion")}
    said = {"findings": HOSTILE, "impression": "", "labels_mined": False, "marks": [mark]}
    found = [
        case
        | {"rank": rank, "more_of_patient": [], "report": said}
        | {"ranks": {"score": 0.1, "by_image": None, "by_words": 1}}
        for rank, case in enumerate(cases, start=1)
    ]
    words = {"cases": 2, "unknown": ["kowalski"]}
    answer = {"generation": "g", "neighbours": found, "words": words, "matched": 12}
    body = json.dumps(answer | {"timings_ms": {}, "notice": "research"})
    route.fulfill(body=body, content_type="application/json")


def test_words_alone_find_cases(page: Page) -> None:
    page.route("**/query?*", by_words)
    page.get_by_label("Or search reports by words").fill("effusion of kowalski")
    with page.expect_request("**/query?*") as asked:
        page.get_by_role("button", name="Search", exact=True).click()
    assert "text=effusion+of+kowalski" in asked.value.url
    assert asked.value.post_data is None
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".by-words")).to_contain_text("2 with any of these words of 12 that match")
    expect(page.locator(".by-words")).to_contain_text("kowalski")
    report = page.locator(".card details.report").first
    report.locator("summary").click()
    expect(report.locator("mark")).to_have_text("effusion")
    expect(report).to_contain_text("By words: 1")
    expect(report.locator("img")).to_have_count(0)
    page.get_by_role("link", name="Use case 1 as query").click()
    expect(page.locator(".query")).to_be_visible()


def test_the_view_of_words_offers_no_condition_that_needs_an_image(page: Page) -> None:
    page.route("**/query?*", by_words)
    page.goto(page.url.partition("#")[0] + "#/words?text=effusion")
    expect(page.locator(".card")).to_have_count(2)
    page.locator("details.filters summary").first.click()
    expect(page.locator("#filter-says")).to_be_visible()
    for name in ("text", "diversity", "min_similarity", "counter_examples", "exact"):
        expect(page.locator(f"#filter-{name}")).to_have_count(0)
    page.locator("#filter-sex").select_option("F")
    page.wait_for_url("**/#/words?text=effusion&sex=F")


def test_a_report_stands_in_the_comparison_and_in_the_record(page: Page, tmp_path: Path) -> None:
    page.route("**/query?*", with_reports)
    page.route("**/similar?*", with_reports)
    send(page)
    page.locator(".thumbnail").first.click()
    report = page.get_by_role("dialog").locator("details.report")
    expect(report.locator("mark")).to_be_hidden()
    report.locator("summary").click()
    expect(report.locator("mark")).to_have_text("effusion")
    expect(report.locator("img")).to_have_count(0)
    page.get_by_role("button", name="Close", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save record").click()
    file = tmp_path / "record.html"
    download.value.save_as(file)
    saved = file.read_text()
    assert "<mark>effusion</mark>" in saved
    assert "<img src=x" not in saved


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
