"""A reader study on the page: one film after another; a closed browser loses nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.reading import SCREENS, needs_chromium, obeys_wcag, pictures_shown, served
from tests.app.test_reader_studies import opened
from tests.stores import SmallStore
from xemplar.catalog import open_catalog
from xemplar.model.encoder import Precision
from xemplar.operations.reader_studies import ReaderStudies
from xemplar.operations.study_plan import StudyPlan

pytestmark = needs_chromium


@pytest.fixture
def plan(own: SmallStore) -> StudyPlan:
    return opened(own)


@pytest.fixture
def address(own: SmallStore, plan: StudyPlan) -> Iterator[str]:
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with served(settings, open_retriever(settings)) as url:
        yield f"{url}/#/readers/{plan.study_id}"


@pytest.fixture
def reading(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    begin(page)
    return page


def film(page: Page, words: str) -> None:
    expect(page.locator("main").get_by_text(words)).to_be_visible()


def begin(page: Page) -> None:
    page.get_by_label("Your pseudonym").fill("ada")
    page.get_by_role("button", name="Begin").click()
    film(page, "Film 1 of 2, session 1")


def answer(page: Page, name: str, key: str) -> None:
    page.get_by_label(name).press(key)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and go on").click()


def test_a_study_is_read_film_by_film_until_its_end(
    reading: Page, own: SmallStore, plan: StudyPlan
) -> None:
    expect(reading.get_by_role("heading", name="Is there an effusion?")).to_be_visible()
    expect(reading.locator(".card")).to_have_count(1)
    expect(reading.get_by_role("button", name="Save and go on")).to_be_disabled()
    expect(reading.get_by_role("button", name="Save and go on")).to_have_css("opacity", "0.5")
    answer(reading, "How sure are you?", "9")
    expect(reading.get_by_role("button", name="Save and go on")).to_be_disabled()
    answer(reading, "How far did you rely", "3")
    save(reading)
    film(reading, "Film 2 of 2, session 1")
    expect(reading.get_by_text("This film is read without past cases.")).to_be_visible()
    answer(reading, "How sure are you?", "0")
    save(reading)
    expect(reading.get_by_text("You have read all films")).to_be_visible()
    with open_catalog(own.store.database_url) as catalog:
        kept = ReaderStudies(catalog.engine).readings(plan.study_id)
    assert [(one.said.confidence, one.said.trust) for one in kept] == [(100, 33), (0, None)]
    assert all(one.said.seconds > 0 for one in kept)


def test_a_closed_page_comes_back_with_its_film_and_what_was_answered(
    reading: Page, context: BrowserContext, address: str
) -> None:
    answer(reading, "How sure are you?", "9")
    reading.close()
    again = context.new_page()
    again.goto(address)
    film(again, "Film 1 of 2, session 1")
    expect(again.get_by_text("100 of 100")).to_be_visible()
    expect(again.get_by_text("not answered")).to_have_count(1)


def test_an_answer_that_could_not_be_saved_stays_and_is_saved_later(reading: Page) -> None:
    answer(reading, "How sure are you?", "9")
    answer(reading, "How far did you rely", "3")
    reading.route("**/readings/0", lambda route: route.abort(), times=1)
    save(reading)
    expect(reading.get_by_text("Not saved.")).to_be_visible()
    save(reading)
    film(reading, "Film 2 of 2, session 1")


def test_who_is_no_reader_of_the_study_is_asked_again(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your pseudonym").fill("eve")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_text("eve is no reader of this study")).to_be_visible()
    expect(page.get_by_label("Your pseudonym")).to_be_visible()


@pytest.mark.parametrize("screen", SCREENS)
def test_a_film_to_be_read_obeys_wcag(
    browser: Browser, address: str, screen: str, tmp_path: Path
) -> None:
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(address)
    begin(page)
    pictures_shown(page, ".study")
    obeys_wcag(page, tmp_path / f"readers-{screen}.png")
    context.close()
