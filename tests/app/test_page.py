"""The reading room, as Chromium shows it: each test is something that a reader does."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.routes.page import FOLDER
from app.settings import Settings
from tests.app.asking import Service
from tests.app.reading import (
    FILM,
    SCREENS,
    SENT,
    eventually,
    needs_chromium,
    obeys_wcag,
    pictures_shown,
    send,
    served,
    sign_in,
)
from tests.films import drawn_film, encoded
from tests.stores import CASES, SmallStore
from xemplar.catalog.keys import Keys, Role
from xemplar.retriever import Retriever

LARGEST = 150_000
PLACE = re.compile(r"Row \d, column \d: (adds|takes) \d\.\d{4}$")

# ---- the files ------------------------------------------------------------------------------


def test_the_whole_page_is_small() -> None:
    files = [path for path in FOLDER.iterdir() if path.suffix != ".jpg"]
    assert len(files) > 10
    assert sum(path.stat().st_size for path in files) < LARGEST


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client: TestClient) -> None:
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "unsafe" not in response.headers["content-security-policy"]
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", response.text)
    for source in re.findall(r'(?:src|href)="([^"]+)"', response.text):
        assert client.get(f"/{source}").status_code == 200
    for path in FOLDER.glob("*.*s"):
        assert not re.findall(r"https?://(?!www.w3.org)|@import|innerHTML", path.read_text()), path


def test_a_browser_asks_whether_a_file_is_still_the_same(client: TestClient) -> None:
    for path in ("/", "/page/main.js"):
        first = client.get(path)
        assert first.headers["cache-control"] == "no-cache"
    unchanged = client.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert unchanged.status_code == 304
    assert unchanged.headers["cache-control"] == "no-cache"


def test_the_page_needs_no_key_and_its_data_do(service: Service, keys: Keys) -> None:
    keys.create("x", Role.READER)
    client = service()
    for path in ("/", *(f"/page/{path.name}" for path in FOLDER.iterdir())):
        assert client.get(path).status_code == 200
    assert client.get("/cases").status_code == 401


def test_behind_a_reverse_proxy_all_addresses_of_the_page_are_relative(client: TestClient) -> None:
    assert not re.findall(r'(?:src|href)="/', client.get("/").text)


# ---- in a browser ---------------------------------------------------------------------------


def coloured(page: Page, where: str) -> str:
    """What is painted over a film."""
    painted: str = page.locator(f"{where} canvas.heat").first.evaluate("c => c.toDataURL()")
    return painted


@needs_chromium
def test_a_chosen_film_is_answered_with_cases_and_findings(page: Page) -> None:
    send(page)
    assert re.search(r"#/film/[0-9a-f]{16}$", page.url)
    pictures_shown(page, ".answer")
    expect(page.locator(".finding")).to_have_count(14)
    expect(page.locator(".finding.absent")).to_have_count(7)  # every other one has threshold 1
    expect(page.locator(".card .score").first).to_contain_text("similarity")
    expect(page.locator(".bar-top small")).to_have_text(f"of {CASES} that match")


@needs_chromium
@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_film_may_be_dropped_or_pasted(page: Page, way: str) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.evaluate(
        """([way, bytes]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "film.png", {type: "image/png"}));
            const event = way === "drop" ? new DragEvent(way, {dataTransfer: carried})
                : new ClipboardEvent(way, {clipboardData: carried});
            dispatchEvent(event);
        }""",
        [way, list(FILM)],
    )
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_what_is_dropped_or_pasted_and_no_file_is_refused_but_not_in_a_field(page: Page) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    throw = """([where, way]) => {
        const carried = new DataTransfer();
        carried.setData("text/plain", "a film");
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
        expect(page.get_by_role("alert")).to_contain_text("That was no file.")
        page.locator("[role=alert]").evaluate("a => a.replaceChildren()")
    send(page)
    page.locator("summary").click()
    page.evaluate(throw, ["#narrow-view", "paste"])
    expect(page.get_by_role("alert")).to_be_empty()


@needs_chromium
def test_a_finding_chosen_while_cases_are_still_awaited_is_what_is_shown(
    context: BrowserContext, page_url: str
) -> None:
    page, held = context.new_page(), list[Route]()
    page.route("**/cases?*", lambda route: held.append(route), times=1)
    page.goto(page_url)
    expect(page.locator("#of option")).to_have_count(5)
    page.select_option("#of", "Mass")
    expect(page.locator(".gallery > li")).to_have_count(3)
    with page.expect_response("**/cases?limit=24"):
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator(".gallery > li")).to_have_count(3)


@needs_chromium
def test_one_may_begin_with_an_indexed_case_of_a_finding(page: Page) -> None:
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.select_option("#of", "Mass")
    expect(page.locator(".gallery > li")).to_have_count(3)
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    assert "#/case/" in page.url


@needs_chromium
def test_one_may_begin_with_the_example(page: Page) -> None:
    page.get_by_role("button", name="synthetic").click()
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_a_finding_recolours_every_film_and_the_legend_names_it(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    chosen = page.locator(".finding:not(.absent)[aria-pressed=false]").first
    name = chosen.locator(".name").inner_text()
    before = coloured(page, ".query"), coloured(page, ".card")
    chosen.click()
    expect(page.locator(".finding[aria-pressed=true] .name")).to_have_text(name)
    expect(page.locator(".legend")).to_contain_text(name)
    assert f"finding={name.replace(' ', '_')}" in page.url
    pictures_shown(page, ".answer")
    page.wait_for_function("document.querySelector('.card canvas.heat').width < 300")
    eventually(page, lambda: coloured(page, ".query") != before[0])
    eventually(page, lambda: coloured(page, ".card") != before[1])


@needs_chromium
def test_below_its_threshold_a_finding_has_no_map_and_the_page_says_so(page: Page) -> None:
    send(page)
    page.locator(".finding.absent").first.click()
    expect(page.locator(".card .note").first).to_contain_text("below threshold, no map")
    expect(page.locator(".legend .scale")).to_be_hidden()


@needs_chromium
def test_overlays_are_made_fainter_or_left_off(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    page.wait_for_function("document.querySelector('.card canvas.heat').width < 300")
    page.get_by_label("Opacity").fill("20")
    expect(page.locator(".card canvas.heat").first).to_have_css("opacity", "0.2")
    page.get_by_role("button", name="Film", exact=True).click()
    expect(page.get_by_label("Opacity")).to_have_count(0)
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    films = page.locator("canvas.heat")
    eventually(page, lambda: not films.evaluate_all(f"all => all.some({drawn})"))


@needs_chromium
def test_the_chance_of_a_shared_finding_is_told_where_the_index_knows_it(page: Page) -> None:
    def calibrated(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        answer["neighbours"][0]["chance"] = 0.432
        route.fulfill(response=response, json=answer)

    page.route("**/query?*", calibrated)
    send(page)
    expect(page.locator(".card .chance")).to_have_text(["43 % chance of a shared finding"])


@needs_chromium
def test_the_evidence_shown_adds_up_to_the_score(page: Page) -> None:
    send(page)
    page.get_by_role("button", name="Similarity", exact=True).click()
    caption = page.locator(".query .caption")
    expect(caption).to_contain_text("add up to")
    for number in range(2):
        page.locator(".tile").nth(number).hover()
        expect(caption).to_contain_text(f"case {number + 1}.")
        expect(caption).to_contain_text("add up to")
        told = re.findall(r"-?\d\.\d{4}", caption.inner_text())
        total, support, against, score = map(float, told)
        assert total == score
        assert support - against == pytest.approx(total, abs=2e-4)
        shown = page.locator(".score strong").nth(number).inner_text()
        assert score == pytest.approx(float(shown), abs=0.0006)


@needs_chromium
def test_pointing_at_a_place_of_the_query_lights_up_what_matches_it(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    page.get_by_role("button", name="Similarity", exact=True).click()
    film, caption = page.locator(".query .film"), page.locator(".query .caption")
    expect(caption).to_contain_text("add up to")
    whole = coloured(page, ".card")
    box = film.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".query .marker")).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("finds its match")
    eventually(page, lambda: coloured(page, ".card") != whole)
    page.mouse.move(5, 5)
    expect(page.locator(".query .marker")).to_be_hidden()
    film.focus()
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text(PLACE)
    first = caption.inner_text()
    page.keyboard.press("ArrowRight")
    expect(caption).not_to_have_text(first)
    expect(caption).to_contain_text(PLACE)
    page.locator(".tile").first.click()
    look = page.locator("dialog.look")
    expect(look.locator(".caption")).to_contain_text("add up to")
    look.locator(".pane").first.hover()
    expect(look.locator(".marker").first).to_be_visible()
    expect(look.locator(".caption")).to_contain_text(PLACE)


@needs_chromium
def test_addresses_can_be_shared_and_the_back_button_works(page: Page) -> None:
    send(page)
    answer = page.url
    page.locator(".tile").first.click()
    expect(page.locator("dialog.look")).to_be_visible()
    shared = page.url
    page.go_back()
    expect(page.locator("dialog.look")).to_have_count(0)
    assert page.url == answer
    page.goto("about:blank")
    page.goto(shared)
    expect(page.locator("dialog.look")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_have_count(5)
    page.get_by_role("link", name="New film").click()
    expect(page.locator(".drop")).to_be_visible()
    page.go_back()
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_an_answer_is_narrowed_down_and_opened_again(page: Page) -> None:
    send(page)
    page.locator("summary").click()
    page.focus("#narrow-sex")
    page.select_option("#narrow-sex", "F")
    expect(page.locator(".bar-top small")).to_have_text("of 6 that match")
    expect(page.locator(".narrow")).to_have_attribute("open", "")
    expect(page.locator("#narrow-sex")).to_be_focused()
    page.fill("#narrow-k", "3")
    page.keyboard.press("Tab")
    expect(page.locator(".card")).to_have_count(3)
    page.select_option("#narrow-finding-Effusion", "none_of")
    expect(page.locator(".bar-top small")).to_have_text("of 3 that match")
    expect(page.locator(".chips li")).to_have_count(4)  # sex, k, the finding; and all
    page.locator(".chips button", has_text="female").click()
    expect(page.locator(".bar-top small")).to_have_text("of 9 that match")
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_each_condition_narrows_the_answer_and_says_so(page: Page) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    page.locator("summary").click()
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
        ("one_per_patient", "", "one per patient"),
        ("same_patient", "", "same patient too"),
    ):
        field = page.locator(f"#narrow-{name}")
        if value:
            field.fill(value)
            field.press("Tab")
        else:
            field.check()
        wanted += [chip, "view ap"] if name == "view" else [chip]
        expect(page.locator(".chips li")).to_have_count(len(wanted) + 1)  # and "Clear all"
    page.select_option("#narrow-finding-Mass", "any_of")
    wanted.append("one of: Mass")
    page.select_option("#narrow-sex", "F")
    wanted.append("female")
    chips = page.locator(".chips li:not(:last-child)")
    expect(chips).to_have_text([f"{text}×" for text in wanted])
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator(".card")).to_have_count(0)  # every Mass is a man's here
    expect(page.locator("main")).to_contain_text("No case meets all conditions")
    page.get_by_role("button", name="Remove: female").click()
    expect(page.locator(".card").first).to_be_visible()
    page.locator("#narrow-age_min").fill("")
    page.locator("#narrow-age_min").press("Tab")
    expect(chips).to_have_count(len(wanted) - 2)
    (itself,) = re.findall("case/([0-9a-f]{16})", page.url)
    page.goto(f"{page.url}&exclude={itself}")
    expect(chips.last).to_have_text(f"not case {itself}×")


@needs_chromium
def test_filters_offer_the_findings_of_the_labels_beside_those_of_the_network(page: Page) -> None:
    expect(page.locator("#of option")).to_have_text(
        ["any finding", "Effusion (3)", "Mass (3)", "No Finding (3)", "Nodule (3)"]
    )
    send(page)
    page.locator("summary").click()
    expect(page.locator(".narrow fieldset select")).to_have_count(15)
    page.select_option("#narrow-finding-No\\ Finding", "all_of")
    expect(page.locator(".bar-top small")).to_have_text("of 3 that match")


@needs_chromium
def test_counter_examples_and_more_like_one(page: Page) -> None:
    page.goto(page.url + "#/")
    send(page)
    page.locator(".finding", has_text="Effusion").click()
    page.locator("summary").click()
    page.fill("#narrow-counter_examples", "2")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="Most similar without Effusion")).to_be_visible()
    expect(page.locator(".card")).to_have_count(7)
    page.get_by_role("button", name="More like this").first.click()
    expect(page.get_by_role("heading", name="Indexed case")).to_be_visible()
    assert "#/case/" in page.url


# ---- errors ---------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"no picture", "is no picture that can be read"),
        (b"\0" * 3_100_000, "The film is too large"),
        (encoded(drawn_film(1, 8, 8)), "no chest radiograph"),
    ],
)
def test_a_film_that_cannot_be_used_is_refused_in_words(
    page: Page, faults: list[str], content: bytes, title: str
) -> None:
    faults.append("the server responded with a status of 4")
    page.set_input_files("#file", files=[{**SENT, "buffer": content}])
    expect(page.get_by_role("alert")).to_contain_text(title)
    expect(page.get_by_role("alert")).to_contain_text("Request ")
    page.set_input_files("#file", files=[SENT])
    expect(page.locator(".card")).to_have_count(5)
    expect(page.get_by_role("alert")).to_be_empty()


@needs_chromium
def test_a_film_that_the_service_has_forgotten(page: Page, faults: list[str]) -> None:
    faults.append("status of 404")
    page.evaluate("location.hash = '#/film/0000000000000000'")
    expect(page.get_by_role("alert")).to_contain_text("send the film again")


@needs_chromium
def test_an_error_where_nothing_is_shown_is_closed_onto_the_first_screen(
    context: BrowserContext, page_url: str
) -> None:
    page = context.new_page()
    page.goto(f"{page_url}/#/case/0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("0123456789abcdef")
    page.get_by_role("alert").get_by_role("button", name="Close").click()
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    expect(page.get_by_role("alert")).to_be_empty()


@needs_chromium
def test_a_service_that_does_not_answer(page: Page, faults: list[str]) -> None:
    faults.append("net::ERR_FAILED")
    page.route("**/query?*", lambda route: route.abort())
    page.set_input_files("#file", files=[SENT])
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/query?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_a_service_that_is_busy_is_asked_again_when_it_says(page: Page, faults: list[str]) -> None:
    faults.append("status of 503")
    problem = '{"type": "urn:xemplar:problem:Busy", "title": "x", "status": 503, "detail": "busy"}'

    def busy(route: Route) -> None:
        route.fulfill(status=503, body=problem, headers={"Retry-After": "1"})

    page.route("**/query?*", busy, times=1)
    page.set_input_files("#file", files=[SENT])
    expect(page.get_by_role("alert")).to_contain_text("The service is busy")
    expect(page.locator(".card")).to_have_count(5)


@needs_chromium
def test_a_key_is_asked_for_once_and_kept_in_the_tab_alone(
    context: BrowserContext, settings: Settings, retriever: Retriever, own: SmallStore, keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _, secret = keys.create("x", Role.READER)
    monkeypatch.setattr(retriever, "close", lambda: None)
    named = settings.model_copy(update={"database_url": own.store.database_url})
    with served(named, retriever) as url:
        page = context.new_page()
        page.goto(url)
        sign_in(page, secret)
        expect(page.locator(".gallery > li")).to_have_count(CASES)
        send(page)
        pictures_shown(page, ".answer")
        expect(page.locator("dialog")).to_have_count(0)
        assert secret not in page.evaluate("JSON.stringify(localStorage)")
        assert secret not in page.url
        page.reload()
        expect(page.locator(".card")).to_have_count(5)


# ---- for everybody --------------------------------------------------------------------------


@needs_chromium
def test_everything_can_be_done_with_the_keyboard_alone(page: Page) -> None:
    send(page)
    page.keyboard.press("3")
    expect(page.locator(".query .caption")).to_contain_text("add up to")
    page.keyboard.press("c")
    expect(page.locator("dialog.look")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.look")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("dialog.shortcuts")).to_be_visible()
    letters = page.get_by_label("Single-letter keys are on")
    letters.uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("dialog.look")).to_have_count(0)
    page.get_by_role("button", name="Shortcuts").click()
    letters.check()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.go_back()
    expect(page.locator(".card")).to_have_count(5)
    for name in ("finding", "summary", "tile"):
        page.locator("body").click(position={"x": 1, "y": 1})
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("n => document.activeElement.matches(`.${n}, ${n}`)", name):
                break
        else:
            pytest.fail(f"the Tab key never comes to .{name}")
    page.keyboard.press("Enter")
    expect(page.locator("dialog.look")).to_be_visible()


@needs_chromium
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_screen_obeys_wcag(page: Page, theme: str, screen: str, tmp_path: Path) -> None:
    """axe-core without violations; and each screen as a picture, to be looked at."""
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_role("button", name="Light theme").click()

    def check(name: str) -> None:
        obeys_wcag(page, tmp_path / f"{name}-{screen}-{theme}.png")

    pictures_shown(page, ".gallery")
    check("ask")
    send(page)
    pictures_shown(page, ".answer")
    check("answer")
    page.locator("summary").click()
    page.fill("#narrow-counter_examples", "2")
    page.keyboard.press("Tab")
    expect(page.locator(".card")).to_have_count(7)
    check("narrow")
    page.get_by_role("button", name="Similarity", exact=True).click()
    expect(page.locator(".query .caption")).to_contain_text("add up to")
    check("why")
    page.locator(".tile").first.click()
    pictures_shown(page, "dialog.look")
    check("look")
    page.keyboard.press("?")
    expect(page.locator("dialog.shortcuts")).to_be_visible()
    check("shortcuts")
