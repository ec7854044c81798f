"""Asking: an image is dropped, pasted or chosen, or one begins with an indexed case."""

import hashlib
import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.app.reading import (
    IMAGE,
    SENT,
    eventually,
    held,
    needs_chromium,
    open_filters,
    pictures_shown,
    send,
)
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore

CALIBRATED = "Calibrated on 8 images of drawn; usual is of 12, where 50 % show a finding."

pytestmark = needs_chromium


def test_a_chosen_image_is_answered_with_cases_and_findings(page: Page) -> None:
    send(page)
    assert re.search(r"#/image/[0-9a-f]{16}$", page.url)
    pictures_shown(page, ".answer")
    expect(page.locator(".finding")).to_have_count(14)
    expect(page.locator(".finding.called")).to_have_count(7)  # every other one has threshold 1
    expect(page.locator(".finding").last).not_to_have_class(re.compile("called"))  # it has none
    expect(page.locator(".finding").last).to_have_attribute("title", re.compile("^never called"))
    expect(page.locator(".finding .bar i")).to_have_count(13)
    expect(page.locator(".query")).to_contain_text(CALIBRATED)
    first = page.locator(".card").first
    expect(first.locator(".score")).to_contain_text(
        re.compile(r"similarity.*closer than \d+\.\d % of")
    )
    expect(first.get_by_role("list", name="Report")).to_be_visible()
    reading = first.get_by_role("list", name="Network")
    expect(reading).to_contain_text(re.compile(r"\w \d+ %, \d+(\.\d)? × usual"))
    expect(reading.locator("li").last).to_have_css("border-style", "dashed")
    expect(page.locator(".bar-top small")).to_have_text(f"of {CASES} that match")
    expect(page.locator(".archived")).to_have_count(0)


def test_findings_come_by_lift_and_a_called_one_never_looks_less_likely_than_a_grey_one(
    page: Page,
) -> None:
    predictions = [
        prediction("Edema", 0.2, 0.05),  # four times as likely as usual, and not called
        prediction("Effusion", 0.3, 0.1, called=True),
        prediction("Pneumonia", 0.26, 0.22, called=True),
        prediction("Atelectasis", 0.1, 0.11),
        prediction("Hernia", 0.2, 0.02, threshold=None),
    ]

    def with_predictions(route: Route) -> None:
        response = route.fetch()
        answer = response.json() | {"predictions": predictions}
        route.fulfill(response=response, json=answer)

    page.route("**/query?*", with_predictions)
    send(page)
    expect(page.locator(".finding")).to_have_count(5)
    standing = [
        str(one.get_attribute("class")).split()[1] for one in page.locator(".finding").all()
    ]
    assert standing == ["raised", "called", "called", "usual", "raised"]
    weights = [
        one.evaluate("name => getComputedStyle(name).fontWeight")
        for one in page.locator(".finding .name").all()
    ]
    assert weights == ["400", "600", "600", "400", "400"]
    expect(page.locator(".finding .lift")).to_have_text(
        ["4 × usual", "3 × usual", "1.2 × usual", "0.9 × usual", "10 × usual"]
    )
    mark = "e => e.getBoundingClientRect().left - e.parentElement.getBoundingClientRect().left"
    bar, marked = page.locator(".finding .bar").first, page.locator(".finding .bar i").first
    assert marked.evaluate(mark) == pytest.approx(0.25 * bar.bounding_box()["width"], abs=1)
    about = page.locator(".finding").nth(0)
    expect(about).to_have_attribute("title", "not called: below the mark at 25 %; usually 5 %")


def prediction(
    finding: str,
    probability: float,
    base_rate: float,
    *,
    called: bool = False,
    threshold: float | None = 0.25,
) -> dict[str, object]:
    return {
        "finding": finding,
        "probability": probability,
        "base_rate": base_rate,
        "lift": probability / base_rate,
        "threshold": threshold,
        "called": None if threshold is None else called,
        "standing": "usual" if probability < base_rate else "called" if called else "raised",
    }


def test_an_image_that_is_indexed_is_said_to_be_in_the_archive(
    page: Page, small: SmallStore
) -> None:
    image = small.images[3]
    page.set_input_files("#file", [SENT | {"buffer": image}])
    case_id = hashlib.sha256(image).hexdigest()[:16]
    said = f"This image is in the archive as case {case_id}."
    expect(page.locator(".archived")).to_have_text(said)


@pytest.mark.parametrize("name", ["image.png", "IM000001"])
@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_may_be_dropped_or_pasted(page: Page, way: str, name: str) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.evaluate(
        """([way, bytes, name]) => {
            const type = name.endsWith(".png") ? "image/png" : "";
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], name, {type}));
            const event = way === "drop" ? new DragEvent(way, {dataTransfer: carried})
                : new ClipboardEvent(way, {clipboardData: carried});
            dispatchEvent(event);
        }""",
        [way, list(IMAGE), name],
    )
    expect(page.locator(".card")).to_have_count(5)


def test_files_without_suffix_may_be_chosen(page: Page) -> None:
    assert page.get_attribute("#file", "accept") is None  # it would grey them out


def test_a_folder_that_is_dropped_is_refused(page: Page) -> None:
    page.evaluate(
        """() => {
            const folder = new File([], "CD");
            const items = [{webkitGetAsEntry: () => ({isDirectory: true})}];
            const event = new DragEvent("drop", {bubbles: true});
            Object.defineProperty(event, "dataTransfer", {value: {files: [folder], items}});
            dispatchEvent(event);
        }"""
    )
    expect(page.get_by_role("alert")).to_contain_text("That was not a file.")


def test_what_is_dropped_or_pasted_and_no_file_is_refused_but_not_in_a_field(page: Page) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    throw = """([where, way]) => {
        const carried = new DataTransfer();
        carried.setData("text/plain", "an image");
        const bubbles = true;
        const event = way === "paste"
            ? new ClipboardEvent(way, {clipboardData: carried, bubbles})
            : new DragEvent(way, {dataTransfer: carried, bubbles});
        document.querySelector(where).dispatchEvent(event);
    }"""
    page.evaluate(throw, ["body", "dragover"])
    expect(page.locator("body.dragging")).to_be_visible()
    page.evaluate(throw, ["body", "dragleave"])
    expect(page.locator("body.dragging")).to_have_count(0)
    for way in ("drop", "paste"):
        page.evaluate(throw, ["body", way])
        expect(page.get_by_role("alert")).to_contain_text("That was not a file.")
        page.locator("[role=alert]").evaluate("a => a.replaceChildren()")
    send(page)
    open_filters(page)
    page.evaluate(throw, ["#filter-view", "paste"])
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_finding_chosen_while_cases_are_still_awaited_is_what_is_shown(
    context: BrowserContext, page_url: str
) -> None:
    page = context.new_page()
    first = held(page, "**/cases?*")
    page.goto(page_url)
    expect(page.locator("#of option")).to_have_count(5)
    page.select_option("#of", "Mass")
    expect(page.locator(".gallery > li")).to_have_count(3)
    with page.expect_response("**/cases?limit=24&none_of=*"):
        first[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator(".gallery > li")).to_have_count(3)


def test_one_may_begin_with_an_indexed_case_of_a_finding(page: Page) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.select_option("#of", "Mass")
    expect(page.locator(".gallery > li")).to_have_count(3)
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    assert "#/case/" in page.url


def test_images_that_are_chosen_together_are_all_answered(page: Page, faults: list[str]) -> None:
    faults.append("the server responded with a status of 4")
    other = SENT | {"buffer": encoded(drawn_image(78, 500, 500))}
    page.set_input_files("#file", files=[SENT, other, SENT | {"buffer": b"no image"}])
    page.get_by_role("button", name="Find similar cases").click()
    expect(page.locator(".card")).to_have_count(5)
    several = page.get_by_role("navigation", name="Images sent together")
    expect(several.get_by_role("status")).to_have_text(re.compile("^Image 3: (?!looking)"))
    expect(several.get_by_role("link")).to_have_text(["Image 1", "Image 2"])
    first = page.url
    several.get_by_role("link", name="Image 2").click()
    eventually(page, lambda: page.url != first)
    expect(page.locator(".card")).to_have_count(5)


def test_films_of_one_patient_are_asked_about_together_the_earliest_first(page: Page) -> None:
    earlier = SENT | {"name": "b.png", "buffer": encoded(drawn_image(78, 600, 450))}
    page.set_input_files("#file", files=[SENT | {"name": "a.png"}, earlier])
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_count(0)
    dialog.get_by_label("Films of one patient").check()
    dialog.get_by_role("button", name="Earlier").click()
    expect(dialog.get_by_role("listitem")).to_have_text([re.compile("b.png"), re.compile("a.png")])
    dialog.get_by_role("button", name="Find similar cases").click()
    expect(page.locator(".card")).to_have_count(5)
    films = page.get_by_role("navigation", name="Films of one patient")
    expect(films.get_by_role("link")).to_have_text(
        [re.compile(r"^Film 1: similarity to the latest -?\d\.\d\d$"), "Latest film"]
    )
    latest = page.url
    films.get_by_role("link", name="Film 1").click()
    expect(page.locator(".card")).to_have_count(5)
    assert page.url != latest


def test_the_dialog_that_is_closed_sends_nothing(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.set_input_files("#file", files=[SENT, SENT])
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "POST" not in asked


def test_one_may_begin_with_the_example(page: Page) -> None:
    page.get_by_role("button", name="synthetic").click()
    expect(page.locator(".card")).to_have_count(5)
