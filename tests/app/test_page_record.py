"""The record of a query: a file that needs no service, and a print that says what it is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, Route, expect

from tests.app.reading import needs_chromium, obeys_wcag, pictures_shown, removed, send

CALIBRATED = "Calibrated on 8 images of drawn; usual is of 12, where 50 % show a finding."

pytestmark = needs_chromium

NOTICE = "Research use, not for diagnosis"
PAGES = re.compile(rb"/Type\s*/Page\b")


def saved(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save record").click()
    return kept(download.value, folder)


def kept(download: Download, folder: Path) -> Path:
    file = folder / download.suggested_filename
    download.save_as(file)
    return file


@pytest.fixture
def alone(browser: Browser) -> Iterator[Page]:
    """A browser without network, where a record must do; whatever it asks for fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page, told = context.new_page(), list[str]()
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("console", lambda one: told.append(one.text))
    page.on("request", lambda one: told.append(one.url))
    yield page
    context.close()
    assert [one for one in told if not one.startswith(("file:", "data:"))] == []


def test_a_record_says_what_the_answer_said(page: Page, alone: Page, tmp_path: Path) -> None:
    send(page)
    scores = page.locator(".card .score strong").all_inner_texts()
    probabilities = page.locator(".finding .number").all_inner_texts()
    findings = [one.all_inner_texts() for one in page.locator(".card .tags").all()]
    file = saved(page, tmp_path)
    alone.goto(file.as_uri())
    pictures_shown(alone, ".record")
    assert alone.locator(".pair h3 strong").all_inner_texts() == scores
    assert alone.locator(".query td.number").all_inner_texts() == probabilities
    shown = [one.inner_text().split("\n") for one in alone.locator(".pair .tags").all()]
    assert ["".join(one) for one in shown] == ["".join(one).replace("\n", "") for one in findings]
    expect(alone.locator(".query .called")).to_have_count(7)  # every other one has threshold 1
    expect(alone.locator(".notice").first).to_have_text(NOTICE)
    expect(alone.locator(".record > :last-child")).to_have_text(NOTICE)


def test_a_record_says_what_answered_and_when(page: Page, alone: Page, tmp_path: Path) -> None:
    with page.expect_response("**/query?*") as response:
        send(page)
    answer = response.value.json()
    file = saved(page, tmp_path)
    assert file.name.startswith(f"xemplar-{answer['query_id']}-")
    alone.goto(file.as_uri())
    facts = alone.locator(".facts")
    for fact in (answer["query_id"], answer["checkpoint"], answer["generation"], "5 of 12"):
        expect(facts).to_contain_text(fact)
    for time in facts.locator("time").all():
        assert re.fullmatch(
            r"\d{1,2} \w{3,4} \d{4}, \d\d:\d\d:\d\d GMT[+-]\d\d:\d\d", time.inner_text()
        )
    for near in answer["neighbours"]:
        expect(alone.locator(".record")).to_contain_text(near["case_id"])


def test_each_pair_is_shown_as_image_gradcam_and_both_evidences(
    page: Page, alone: Page, tmp_path: Path
) -> None:
    send(page)
    alone.goto(saved(page, tmp_path).as_uri())
    expect(alone.locator(".pair")).to_have_count(5)
    for number, pair in enumerate(alone.locator(".pair").all()):
        pictures: list[str] = pair.locator("img").evaluate_all("all => all.map(one => one.src)")
        assert len(set(pictures)) == 4
        assert all(one.startswith("data:image/jpeg;base64,") for one in pictures)
        support, against, total = map(float, re.findall(r"-?\d\.\d{4}", pair.inner_text()))
        assert support - against == pytest.approx(total, abs=2e-4), number
    expect(alone.locator(".legend img")).to_have_count(2)


def test_where_the_finding_is_not_called_a_record_has_words_in_place_of_a_map(
    page: Page, alone: Page, tmp_path: Path
) -> None:
    send(page)
    chosen = page.locator(".finding:not(.called)").first
    chosen.click()
    expect(chosen).to_have_attribute("aria-pressed", "true")
    alone.goto(saved(page, tmp_path).as_uri())
    expect(alone.locator(".pair img")).to_have_count(15)
    expect(alone.locator(".pair .none").first).to_contain_text("not called, no map")


def test_conditions_warnings_and_counter_examples_are_in_the_record(
    page: Page, alone: Page, tmp_path: Path
) -> None:
    def warned(route: Route) -> None:
        response = route.fetch()
        answer = response.json() | {"warnings": ["<img src=x> seems turned"]}
        told = {"findings": ["<b>Bold</b>"], "source": "a & b", "chance": 0.432}
        answer["neighbours"][0] |= told
        answer["chance_measured_on"] = {"source": "nih14", "images": 165, "ill": None}
        route.fulfill(response=response, json=answer)

    send(page)
    page.route("**/similar?*", warned)
    page.goto(page.url + "?sex=F&k=2&counter_examples=2&finding=Effusion&none_of=Mass")
    expect(page.get_by_role("heading", name="Most similar without Effusion")).to_be_visible()
    file = saved(page, tmp_path)
    alone.goto(file.as_uri())
    expect(alone.locator(".facts")).to_contain_text("female")
    expect(alone.locator(".facts")).to_contain_text("without Mass")
    expect(alone.locator(".warnings")).to_have_text("<img src=x> seems turned")
    expect(alone.locator(".tags").first).to_have_text("Report<b>Bold</b>")
    expect(alone.locator(".pair").first).to_contain_text("of 100 such pairs, 43 share a finding")
    expect(alone.locator(".legend")).to_contain_text("Measured on 165 images of nih14.")
    expect(alone.locator(".legend")).to_contain_text(CALIBRATED)
    expect(alone.get_by_role("heading", name="Most similar without Effusion")).to_be_visible()
    text = file.read_text()
    assert not re.search(r"<script|<b>|https?:|<link|src=\"(?!data:)", text)


def test_of_an_indexed_case_without_a_match_there_is_a_record_too(
    page: Page, alone: Page, tmp_path: Path
) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    (case,) = re.findall("case/([0-9a-f]{16})", page.url)
    page.goto(page.url + "?age_min=120")
    expect(page.locator("main")).to_contain_text("No case meets all conditions")
    alone.goto(saved(page, tmp_path).as_uri())
    expect(alone.locator(".facts")).to_contain_text(case)
    expect(alone.locator(".facts")).to_contain_text("0 of 0 that match")
    expect(alone.locator(".record")).to_contain_text("No case meets all conditions")
    expect(alone.locator(".pair")).to_have_count(0)


def test_what_has_gone_meanwhile_is_said_in_its_place(
    page: Page, alone: Page, faults: list[str], tmp_path: Path
) -> None:
    faults.append("status of 404")
    send(page)
    page.route("**/matches/*", removed)
    alone.goto(saved(page, tmp_path).as_uri())
    expect(alone.locator(".pair img")).to_have_count(10)
    expect(alone.locator(".pair .none").first).to_have_text("Not available: it was removed")


def test_a_record_that_cannot_be_made_says_why(page: Page, faults: list[str]) -> None:
    faults.append("net::ERR_FAILED")
    send(page)
    page.route("**/matches/*", lambda route: route.abort())
    page.keyboard.press("s")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/matches/*")
    with page.expect_download():
        page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_record_is_printed_alone_and_no_pair_is_torn(page: Page, tmp_path: Path) -> None:
    send(page)
    page.evaluate("window.print = () => { window.printed = true; }")  # no dialog in a test
    page.keyboard.press("Control+p")
    page.wait_for_function("() => window.printed")
    expect(page.locator("body > .record")).to_be_hidden()  # on the screen
    page.emulate_media(media="print")
    for where, seen in (("body > .record", True), ("header.top", False), ("main", False)):
        expect(page.locator(where)).to_be_visible(visible=seen)
    # a browser keeps such a part whole
    torn = page.locator(".record .pair").evaluate_all(
        "all => all.map(p => getComputedStyle(p).breakInside)"
    )
    assert set(torn) == {"avoid"}
    pdf = page.pdf(path=tmp_path / "printed.pdf", format="A4")
    assert len(PAGES.findall(pdf)) == 3  # the last tells what the cases turned out to be
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".record")).to_have_count(0)


def test_a_record_obeys_wcag(page: Page, browser: Browser, tmp_path: Path) -> None:
    send(page)
    file = saved(page, tmp_path)
    for scheme in ("dark", "light"):
        # its policy forbids scripts, axe-core too
        context = browser.new_context(bypass_csp=True, color_scheme=scheme)
        record = context.new_page()
        record.goto(file.as_uri())
        obeys_wcag(record, tmp_path / f"record-{scheme}.png")
        context.close()


def test_a_record_tells_how_a_search_was_steered(page: Page, alone: Page, tmp_path: Path) -> None:
    send(page)
    page.get_by_role("button", name="Add to query: case 1").click()
    expect(page.locator(".together")).to_be_visible()
    page.get_by_role("button", name="Search nearer to case 1").click()
    expect(page.locator(".marked li")).to_have_count(1)
    alone.goto(saved(page, tmp_path).as_uri())
    pictures_shown(alone, ".record")
    expect(alone.locator(".facts")).to_contain_text("nearer to case")
    expect(alone.locator(".facts")).to_contain_text("with the image of case")
    expect(alone.get_by_text("Cases are ranked by all 2 images")).to_be_visible()
    expect(alone.locator(".pair .steered").first).to_contain_text("image 2")
