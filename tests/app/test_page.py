"""The reading room, as Chromium shows it: each test is something that a reader does."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import BrowserContext, Page, Route, expect
from xemplar_app.routes.page import FOLDER
from xemplar_app.settings import ServiceSettings

from tests.app.asking import Service
from tests.app.reading import (
    SCREENS,
    SENT,
    every_look,
    needs_chromium,
    obeys_wcag,
    open_filters,
    pictures_shown,
    send,
    served,
    sign_in,
)
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

LARGEST = 275_000  # 10 kB of it are the types that tsc checks

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


@needs_chromium
def test_addresses_can_be_shared_and_the_back_button_works(page: Page) -> None:
    send(page)
    answer = page.url
    page.locator(".thumbnail").first.click()
    expect(page.locator("dialog.compare")).to_be_visible()
    shared = page.url
    page.go_back()
    expect(page.locator("dialog.compare")).to_have_count(0)
    assert page.url == answer
    page.goto("about:blank")
    page.goto(shared)
    expect(page.locator("dialog.compare")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_have_count(5)
    page.get_by_role("link", name="New image").click()
    expect(page.locator(".drop")).to_be_visible()
    page.go_back()
    expect(page.locator(".card")).to_have_count(5)


# ---- errors ---------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"no picture", "cannot be read as an image"),
        (b"\0" * 3_100_000, "The image is too large"),
        (encoded(drawn_image(1, 8, 8)), "not seem to be a chest radiograph"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_in_words(
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
def test_an_image_that_the_service_has_forgotten(page: Page, faults: list[str]) -> None:
    faults.append("status of 404")
    page.evaluate("location.hash = '#/image/0000000000000000'")
    expect(page.get_by_role("alert")).to_contain_text("send the image again")


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
    context: BrowserContext, settings: ServiceSettings, retriever: Retriever, own: SmallStore,
    keys: Keys, monkeypatch: pytest.MonkeyPatch,
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
    expect(page.locator("dialog.compare")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.compare")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("dialog.shortcuts")).to_be_visible()
    letters = page.get_by_label("Enable single-letter keys")
    letters.uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("dialog.compare")).to_have_count(0)
    page.get_by_role("button", name="Shortcuts").click()
    letters.check()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    page.go_back()
    expect(page.locator(".card")).to_have_count(5)
    for name in ("finding", "summary", "thumbnail"):
        page.locator("body").click(position={"x": 1, "y": 1})
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("n => document.activeElement.matches(`.${n}, ${n}`)", name):
                break
        else:
            pytest.fail(f"the Tab key never comes to .{name}")
    page.keyboard.press("Enter")
    expect(page.locator("dialog.compare")).to_be_visible()


@needs_chromium
@every_look
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
    open_filters(page)
    page.fill("#filter-counter_examples", "2")
    page.keyboard.press("Tab")
    expect(page.locator(".chips")).to_contain_text("2 counter-examples")
    check("filters")
    page.get_by_role("button", name="Similarity", exact=True).click()
    expect(page.locator(".query .caption")).to_contain_text("add up to")
    check("why")
    page.locator(".thumbnail").first.click()
    pictures_shown(page, "dialog.compare")
    check("look")
    page.keyboard.press("?")
    expect(page.locator("dialog.shortcuts")).to_be_visible()
    check("shortcuts")
