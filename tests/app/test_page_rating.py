"""Rating in the reading room: blind, with mouse or keyboard alone, saved, and judged at the end."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from xemplar_app.settings import ServiceSettings

from tests.app.reading import (
    SCREENS,
    every_look,
    needs_chromium,
    obeys_wcag,
    pictures_shown,
    send,
    served,
    sign_in,
)
from tests.stores import SmallStore
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

pytestmark = needs_chromium

CASES = 5
UNRATED = -1
"""Place of the shelf of cases that are still to be rated."""


def rate(page: Page, reader: str, *, sent: bool = False) -> None:
    """Send an image and open its list as a reader."""
    if not sent:
        send(page)
    page.get_by_role("link", name="Rate this list").click()
    page.get_by_label("Your pseudonym").fill(reader)
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".shelf .card")).to_have_count(CASES)


def shelf(page: Page, grade: int) -> Locator:
    return page.locator(".pool" if grade == UNRATED else f".shelves .shelf >> nth={grade}")


def numbers(where: Locator) -> list[str]:
    return where.locator(".rank").all_inner_texts()


def rate_all(page: Page) -> None:
    """With grades 0, 1, 2 and so on, in the order of the list."""
    for grade in range(CASES):
        shelf(page, UNRATED).locator(".card").first.get_by_role("button", name=f"{grade},").click()
    saved(page)


def saved(page: Page) -> None:
    expect(page.get_by_text("Saved. You can continue later.")).to_be_visible()


def drag(page: Page, what: Locator, where: Locator) -> None:
    start, end = what.bounding_box(), where.bounding_box()
    assert start
    assert end
    page.mouse.move(start["x"] + 30, start["y"] + 30)
    page.mouse.down()
    page.mouse.move(end["x"] + 30, end["y"] + 30, steps=4)
    page.mouse.up()


def test_nothing_tells_what_the_search_says_until_all_is_rated_and_saved(page: Page) -> None:
    send(page)
    scores = page.locator(".card .score strong").all_inner_texts()
    rate(page, "blind", sent=True)
    assert re.search(r"#/image/[0-9a-f]{16}/rate$", page.url)
    text = page.locator("main").inner_text()
    for told in ("similarity", "finding", "No Finding", "Effusion", "PA", *scores):
        assert told not in text
    assert page.get_by_role("button", name="Compare with the search").is_hidden()
    page.goto(f"{page.url}?show=result")  # as a colleague may have shared it
    expect(page.locator(".pool .card")).to_have_count(CASES)
    expect(page).to_have_url(re.compile("/rate$"))
    rate_all(page)
    page.get_by_role("button", name="Compare with the search").click()
    expect(page.locator(".agreement .card")).to_have_count(CASES)
    assert page.locator(".agreement .score strong").all_inner_texts() == scores


def test_the_end_is_the_nDCG_beside_a_random_orders(page: Page) -> None:  # noqa: N802
    rate(page, "judge")
    rate_all(page)
    page.get_by_role("button", name="Compare with the search").click()
    figures = page.locator(".figures strong")
    expect(figures).to_have_count(2)
    row = page.locator(".readers tr.mine")
    expect(row.locator("th")).to_have_text("judge")
    assert row.locator("td").all_inner_texts() == ["5", *figures.all_inner_texts()]
    # ratings 0 to 4 of five cases: their mean, 2, at each of 1, 1/log2(3), ... 1/log2(6), over
    # the best order's 4 + 3/log2(3) + 2/2 + 1/log2(5): 2 * 2.948459 / 7.323466
    assert figures.nth(1).inner_text() == "0.805"
    page.go_back()
    expect(page.locator(".done")).to_be_visible()
    page.get_by_role("button", name="Compare with the search").click()
    page.get_by_role("link", name="To the answer").click()
    expect(page.locator(".card .score")).to_have_count(CASES)


def test_an_image_is_dragged_to_a_grade_and_back(page: Page) -> None:
    rate(page, "mouse")
    first = numbers(shelf(page, UNRATED))[0]
    drag(page, shelf(page, UNRATED).locator(".thumbnail").first, shelf(page, 4))
    expect(shelf(page, 4).locator(".rank")).to_have_text(first)
    saved(page)
    assert page.locator("dialog").count() == 0
    drag(page, shelf(page, 4).locator(".thumbnail"), shelf(page, 2))
    expect(shelf(page, 2).locator(".rank")).to_have_text(first)
    drag(page, shelf(page, 2).locator(".thumbnail"), shelf(page, UNRATED))
    expect(shelf(page, UNRATED).locator(".card")).to_have_count(CASES)
    drag(page, shelf(page, UNRATED).locator(".thumbnail").first, page.locator(".query"))
    expect(shelf(page, UNRATED).locator(".card")).to_have_count(CASES)


def test_however_long_the_list_is_the_grades_stay_in_sight(page: Page) -> None:
    send(page)
    page.evaluate("location.hash = location.hash + '/rate?k=12'")
    page.get_by_label("Your pseudonym").fill("long")
    page.keyboard.press("Enter")
    expect(page.locator(".pool .card")).to_have_count(12)
    for grade in range(6):
        expect(shelf(page, grade).locator("h3")).to_be_in_viewport(ratio=1)
    last = shelf(page, UNRATED).locator(".thumbnail").last
    last.scroll_into_view_if_needed()
    drag(page, last, shelf(page, 5))
    expect(shelf(page, 5).locator(".rank")).to_have_text("12")


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    send(page)
    page.keyboard.press("r")
    page.get_by_label("Your pseudonym").focus()
    page.keyboard.type("Hands Free")
    page.keyboard.press("Enter")
    expect(page.locator(".pool .card")).to_have_count(CASES)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.pool .thumbnail')"):
            break
    order = numbers(shelf(page, UNRATED))
    for grade, number in zip((3, 0, 5, 3, 1), order, strict=True):
        focused = page.locator(".thumbnail:focus .rank")
        expect(focused).to_have_text(number)
        page.keyboard.press(str(grade))
        expect(shelf(page, grade)).to_contain_text(number)
    expect(page.locator("#live")).to_contain_text("All cases are rated.")
    expect(page.get_by_role("button", name="Compare with the search")).to_be_focused()
    assert page.get_by_text("hands-free").is_visible()
    saved(page)
    shelf(page, 0).locator(".thumbnail").focus()
    page.keyboard.press("Delete")
    expect(shelf(page, UNRATED).locator(".rank")).to_have_text(order[1])
    expect(page.locator(".pool .thumbnail")).to_be_focused()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator(".figures")).to_be_visible()


def test_an_unfinished_list_is_continued_in_the_same_order(page: Page) -> None:
    rate(page, "later")
    order = numbers(shelf(page, UNRATED))
    shelf(page, UNRATED).get_by_role("button", name="4,").nth(1).click()
    saved(page)
    page.reload()
    expect(page.get_by_text("Your earlier ratings have been restored.")).to_be_visible()
    expect(shelf(page, 4).locator(".rank")).to_have_text(order[1])
    assert numbers(shelf(page, UNRATED)) == [order[0], *order[2:]]
    assert page.get_by_text("1 of 5 rated").is_visible()


def test_another_reader_begins_anew_and_sees_nothing_of_the_first(page: Page) -> None:
    rate(page, "first")
    rate_all(page)
    page.get_by_role("button", name="Change").click()
    page.get_by_label("Your pseudonym").fill("second")
    page.get_by_role("button", name="Begin").click()
    expect(shelf(page, UNRATED).locator(".card")).to_have_count(CASES)
    rate_all(page)
    page.get_by_role("button", name="Compare with the search").click()
    readers = page.locator(".readers tbody th")
    expect(readers.filter(has_text="first")).to_have_count(1)
    expect(page.locator(".readers tr.mine")).to_contain_text("second")


def test_a_case_is_looked_at_beside_the_query_and_rated_there(page: Page) -> None:
    rate(page, "looking")
    shelf(page, UNRATED).locator(".thumbnail").first.click()
    look = page.locator("dialog.compare")
    expect(look.get_by_role("heading")).to_have_text("Query and case 1")
    pictures_shown(page, "dialog.compare")
    assert "imilarity" not in look.inner_text()
    look.get_by_role("button", name="3, alike").click()
    expect(look.get_by_role("button", name="3, alike")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("j")
    expect(look.get_by_role("heading")).to_have_text("Query and case 2")
    page.keyboard.press("Escape")
    expect(look).to_have_count(0)
    expect(shelf(page, 3).locator(".rank")).to_have_text("1")


@pytest.fixture
def unsaved(page: Page, faults: list[str], request: pytest.FixtureRequest) -> Page:
    """A list with one rating, 5, that could not be saved, nor can any other; each test's own."""
    faults.append("net::ERR_FAILED")
    rate(page, request.node.name.removeprefix("test_").replace("_", "-")[:32])
    page.route("**/ratings/**", lambda route: route.abort())
    shelf(page, UNRATED).locator(".card").first.get_by_role("button", name="5,").click()
    expect(page.get_by_text("Not saved.")).to_be_visible()
    return page


def test_what_could_not_be_saved_stays_and_is_saved_later(unsaved: Page) -> None:
    page = unsaved
    expect(shelf(page, 5).locator(".card")).to_have_count(1)
    rated = page.url
    page.get_by_role("link", name="New image").click()
    page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    expect(page).to_have_url(rated)
    expect(shelf(page, 5).locator(".card")).to_have_count(1)
    page.unroute("**/ratings/**")
    page.get_by_role("button", name="Save again").click()
    saved(page)
    page.reload()
    expect(shelf(page, 5).locator(".card")).to_have_count(1)


def test_the_browser_asks_before_unsaved_ratings_are_closed(unsaved: Page) -> None:
    with unsaved.expect_event("dialog") as asked:
        unsaved.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(shelf(unsaved, 5).locator(".card")).to_have_count(1)


def test_another_reader_does_not_lose_what_the_first_could_not_save(unsaved: Page) -> None:
    page = unsaved
    page.get_by_role("button", name="Change").click()
    page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    expect(shelf(page, 5).locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Change").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()
    expect(page.get_by_label("Your pseudonym")).to_have_value("")


def test_ratings_that_cannot_be_saved_may_be_left(unsaved: Page) -> None:
    page = unsaved
    page.get_by_role("link", name="New image").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()
    expect(page.locator(".gallery > li").first).to_be_visible()


def test_all_ratings_are_taken_away_as_a_file(page: Page) -> None:
    rate(page, "csv")
    rate_all(page)
    page.get_by_role("button", name="Compare with the search").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download all ratings (CSV)").click()
    assert waiting.value.suggested_filename == "ratings.csv"
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert lines[0] == "query_id,case_id,rater,rating"
    mine = [line.split(",") for line in lines if ",csv," in line]
    assert sorted(row[3] for row in mine) == ["0", "1", "2", "3", "4"]


def test_an_indexed_case_is_rated_at_an_address_of_its_own(page: Page) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(CASES)
    rate(page, "indexed", sent=True)
    assert re.search(r"#/case/[0-9a-f]{16}/rate$", page.url)
    rate_all(page)
    page.go_back()
    expect(page.locator(".card .score")).to_have_count(CASES)
    page.go_forward()
    expect(shelf(page, 3).locator(".card")).to_have_count(1)


def test_a_list_that_cannot_be_had_is_told_in_words(page: Page, faults: list[str]) -> None:
    faults.append("status of 404")
    rate(page, "lost")
    page.evaluate("location.hash = '#/image/0000000000000000/rate'")
    expect(page.get_by_role("alert")).to_contain_text("send the image again")
    page.go_back()
    page.evaluate("location.hash += '?age_min=120'")
    expect(page.locator("main")).to_contain_text("No case meets all conditions")
    assert page.get_by_role("button", name="Compare with the search").is_hidden()


def test_with_a_readers_key_one_rates_and_is_told_who_may_have_the_file(
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
        rate(page, "ward")
        rate_all(page)
        page.get_by_role("button", name="Compare with the search").click()
        page.get_by_role("button", name="Download all ratings (CSV)").click()
        expect(page.get_by_text("this needs a key of role admin")).to_be_visible()


def test_with_keys_a_pseudonym_is_its_key_s_and_an_image_too_until_it_is_shared(
    context: BrowserContext, settings: ServiceSettings, retriever: Retriever, own: SmallStore,
    keys: Keys, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _, first = keys.create("first", Role.READER)
    _, second = keys.create("second", Role.READER)
    monkeypatch.setattr(retriever, "close", lambda: None)
    named = settings.model_copy(update={"database_url": own.store.database_url})
    with served(named, retriever) as url:
        page = context.new_page()
        page.goto(url)
        sign_in(page, first)
        send(page)
        image = page.url
        rate(page, "taken", sent=True)
        rate_all(page)
        page.goto(image)

        other = context.new_page()  # of the same browser, which remembers the pseudonym
        other.goto(image)
        sign_in(other, second)
        expect(other.get_by_role("alert")).to_contain_text("has not shared it")
        page.get_by_role("button", name="Share").click()
        expect(page.get_by_role("alert")).to_contain_text("Shared: every reader with a key")
        other.get_by_role("button", name="Try again").click()
        expect(other.locator(".card .score")).to_have_count(CASES)
        pictures_shown(other, ".answer")

        other.get_by_role("link", name="Rate this list").click()
        expect(other.get_by_role("alert").last).to_contain_text("'taken' belongs to another key")
        other.get_by_label("Your pseudonym").fill("free")
        other.get_by_role("button", name="Begin").click()
        expect(shelf(other, UNRATED).locator(".card")).to_have_count(CASES)
        rate_all(other)
        other.get_by_role("button", name="Compare with the search").click()
        expect(other.locator(".readers tbody th").filter(has_text="taken")).to_have_count(1)


@every_look
def test_every_screen_of_rating_obeys_wcag(
    page: Page, theme: str, screen: str, tmp_path: Path
) -> None:
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_role("button", name="Light theme").click()

    def check(name: str) -> None:
        obeys_wcag(page, tmp_path / f"{name}-{screen}-{theme}.png")

    send(page)
    page.get_by_role("link", name="Rate this list").click()
    expect(page.get_by_label("Your pseudonym")).to_be_visible()
    check("reader")
    page.get_by_label("Your pseudonym").fill(f"{screen}-{theme}")
    page.keyboard.press("Enter")
    expect(page.locator(".pool .card")).to_have_count(CASES)
    pictures_shown(page, ".rating")
    check("rate")
    page.locator(".pool .thumbnail").first.click()
    pictures_shown(page, "dialog.compare")
    check("look")
    page.keyboard.press("Escape")
    rate_all(page)
    check("rated")
    page.get_by_role("button", name="Compare with the search").click()
    expect(page.locator(".figures")).to_be_visible()
    pictures_shown(page, ".agreement")
    check("agreement")
