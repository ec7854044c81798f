"""My work: queries that are remembered, and collections of cases and queries with notes."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.reading import SCREENS, every_look, needs_chromium, obeys_wcag, pictures_shown, send

pytestmark = needs_chromium

MARKUP = "<img src=x onerror=\"document.title='broken'\">"
"""A note that would change the page, were it taken for markup."""


@pytest.fixture
def emptied(page: Page, page_url: str) -> Page:
    """The page, without the collections of other tests: without keys they are everybody's."""
    for one in page.request.get(f"{page_url}/collections").json()["collections"]:
        page.request.delete(f"{page_url}/collections/{one['collection_id']}")
    return page


def add(page: Page, name: str, note: str = "") -> None:
    """Fill in the dialog for a new collection."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Note").fill(note)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(f"Added to “{name}”")


def test_a_query_and_a_case_are_added_and_found_again(emptied: Page) -> None:
    page = emptied
    send(page)
    page.get_by_role("button", name="Add to collection", exact=True).first.click()
    expect(page.get_by_text("Write nothing that tells who the patient is")).to_be_visible()
    add(page, "Effusions", MARKUP)
    page.get_by_role("button", name="Collect case 2").click()
    page.get_by_label("Note").fill("the same side")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("alert").get_by_role("link", name="My work").click()
    link = page.get_by_role("link", name="Effusions")
    expect(link).to_be_visible()
    expect(page.get_by_text("2 entries")).to_be_visible()
    link.click()
    cards = page.locator(".work .card")
    expect(cards).to_have_count(2)
    expect(cards.first.locator(".said")).to_have_text(MARKUP)
    expect(page).to_have_title(re.compile("xemplar"))
    pictures_shown(page, ".work")
    cards.first.get_by_role("link").click()
    expect(page.locator(".answer .card")).to_have_count(5)


def test_conditions_come_back_with_a_query(emptied: Page) -> None:
    page = emptied
    send(page)
    page.evaluate("location.hash += '?k=3&sex=F'")
    expect(page.locator(".card")).to_have_count(3)
    page.keyboard.press("a")
    add(page, "Women")
    page.keyboard.press("w")
    page.get_by_role("link", name="Women").click()
    expect(page.get_by_text("with its conditions")).to_be_visible()
    page.locator(".work .card").get_by_role("link").click()
    expect(page.locator(".answer .card")).to_have_count(3)
    expect(page).to_have_url(re.compile("k=3&sex=F|sex=F&k=3"))


def test_a_collection_is_edited_shared_and_deleted(emptied: Page) -> None:
    page = emptied
    page.goto(f"{page.url.split('#')[0]}#/work")
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Name").fill("Teaching")
    page.get_by_role("dialog").get_by_role("button", name="New collection").click()
    page.get_by_role("link", name="Teaching").click()
    expect(page.get_by_text("Nothing is in this collection yet")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Note").fill("one\ntwo")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said")).to_have_text("one\ntwo")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_text("Send this page's address to your colleague").first).to_be_visible()
    expect(page.get_by_role("button", name="Stop sharing")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("#/work$"))
    expect(page.get_by_text("There is no collection yet")).to_be_visible()


def test_a_note_is_changed_and_an_entry_taken_out(emptied: Page) -> None:
    page = emptied
    page.locator(".gallery a").first.click()
    page.get_by_role("button", name="Add to collection", exact=True).first.click()
    add(page, "Cases", "first")
    page.keyboard.press("w")
    page.get_by_role("link", name="Cases", exact=True).click()
    page.get_by_role("button", name=re.compile("Edit the note")).click()
    page.get_by_role("textbox", name="Note").fill("second")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".card .said")).to_have_text("second")
    page.get_by_role("button", name=re.compile("^Take Past case")).click()
    expect(page.locator(".card")).to_have_count(0)


def test_recent_queries_lead_back_and_are_forgotten(emptied: Page) -> None:
    page = emptied
    send(page)
    address = page.url
    page.get_by_role("link", name="My work").click()
    newest = page.locator(".work .gallery li").first
    expect(newest.get_by_role("link")).to_have_attribute("href", f"#{address.split('#')[1]}")
    newest.get_by_role("button", name=re.compile("Forget the query")).click()
    expect(page.locator(f".work .gallery a[href='#{address.split('#')[1]}']")).to_have_count(0)


@every_look
def test_both_views_obey_wcag(emptied: Page, tmp_path: Path, screen: str, theme: str) -> None:
    page = emptied
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    send(page)
    page.keyboard.press("a")
    add(page, "Effusions", "a note\n" + "long " * 60)
    if theme == "light":
        page.get_by_role("button", name="Light theme").click()
    page.keyboard.press("w")
    expect(page.get_by_role("link", name="Effusions")).to_be_visible()
    obeys_wcag(page, tmp_path / f"work-{screen}-{theme}.png")
    page.get_by_role("link", name="Effusions").click()
    pictures_shown(page, ".work")
    obeys_wcag(page, tmp_path / f"collection-{screen}-{theme}.png")
