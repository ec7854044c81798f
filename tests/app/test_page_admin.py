"""Administration in the page: what an operator does at night, without a shell."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from sqlalchemy import update
from xemplar_app.opening import open_retriever
from xemplar_app.security import REFRESH_SECONDS
from xemplar_app.settings import ServiceSettings

from tests.app.reading import (
    SCREENS,
    every_look,
    held,
    needs_chromium,
    obeys_wcag,
    send,
    served,
    sign_in,
)
from tests.stores import CASES, SmallStore
from xemplar.catalog import open_catalog
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import KeyRow
from xemplar.index import generations
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision
from xemplar.operations.jobs import Jobs
from xemplar.operations.keys import Key, Keys, Role

pytestmark = needs_chromium


@pytest.fixture
def older(own: SmallStore) -> str:
    """An index before the one that answers."""
    with open_catalog(own.store.database_url) as catalog:
        build_generation(own.store, catalog, load(own.checkpoint))
    return generations(own.store)[0].name


@pytest.fixture
def page_url(own: SmallStore) -> Iterator[str]:
    """A service on a store that a test may change."""
    settings = ServiceSettings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        requests_per_second=0,
        wrong_keys_per_minute=0,
    )
    with served(settings, open_retriever(settings)) as url:
        yield url


@pytest.fixture
def jobs(own: SmallStore) -> Iterator[Jobs]:
    """What a worker sees."""
    with open_catalog(own.store.database_url) as catalog:
        yield Jobs(catalog.engine)


def administer(page: Page) -> None:
    page.get_by_role("link", name="Admin").click()
    expect(rows(page, "Index").first).to_be_visible()


def part(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def rows(page: Page, name: str) -> Locator:
    return part(page, name).locator("tbody tr")


def agree(page: Page, name: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=name).click()


# ---- the index ------------------------------------------------------------------------------


def test_going_back_to_an_older_index_is_confirmed_and_done(older: str, page: Page) -> None:
    administer(page)
    expect(rows(page, "Index")).to_have_count(2)
    expect(rows(page, "Index").first).to_contain_text("in use")
    publish = page.get_by_role("button", name=f"Publish {older}")
    publish.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Answer with {older} ({CASES} cases)?")
    expect(dialog).to_contain_text("To undo this")
    dialog.get_by_role("button", name="Not now").click()
    expect(publish).to_be_visible()
    publish.click()
    agree(page, "Publish")
    expect(rows(page, "Index").nth(1)).to_contain_text("in use")
    expect(publish).to_have_count(0)
    page.goto(page.url.split("#")[0] + "#/")
    send(page)
    assert page.evaluate("async a => (await (await fetch(a)).json()).generation", "readyz") == older


def test_an_index_that_could_not_answer_is_refused_in_words(
    older: str, page: Page, own: SmallStore, faults: list[str]
) -> None:
    faults.append("status of 422")
    (own.store.generations / older / "ids.npy").write_bytes(b"x")
    administer(page)
    page.get_by_role("button", name=f"Publish {older}").click()
    agree(page, "Publish")
    expect(page.get_by_role("alert")).to_contain_text("could not answer, and was not published")
    expect(page.get_by_role("alert")).to_contain_text("Request ")
    expect(rows(page, "Index").first).to_contain_text("in use")


def test_a_damaged_index_is_named_beside_those_that_are_whole(
    older: str, page: Page, own: SmallStore
) -> None:
    (own.store.generations / older / "manifest.json").write_bytes(b"{")
    administer(page)
    expect(rows(page, "Index")).to_have_count(1)
    expect(part(page, "Index")).to_contain_text(f"cannot be published: {older}. The log says")


# ---- jobs -----------------------------------------------------------------------------------


def test_a_job_is_started_watched_and_tells_how_it_ended(page: Page, jobs: Jobs) -> None:
    administer(page)
    page.get_by_role("button", name="Build a new index").click()
    expect(page.get_by_role("dialog")).to_contain_text("goes on answering")
    agree(page, "Build a new index")
    row = rows(page, "Jobs").first
    expect(row).to_contain_text("waits for a worker")
    running = jobs.claim(jobs.newest()[0].id, "one")
    assert running is not None
    jobs.renew(running, 5, 20, ("half way",))
    expect(row).to_contain_text("5 of 20")
    expect(row).to_contain_text("ready about")
    expect(row.get_by_role("progressbar")).to_have_js_property("value", 5)
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text("half way")
    jobs.renew(running, 10, 20)
    expect(row).to_contain_text("10 of 20")
    expect(row.locator("pre")).to_be_visible()  # it stays as the reader left it
    expect(row.locator("summary")).to_be_focused()
    jobs.fail(running, "the disk is full")
    expect(row).to_contain_text("the disk is full")
    expect(page.locator("#live")).to_have_text("New index: failed")
    expect(row.get_by_role("button")).to_have_count(0)


def test_a_job_is_cancelled_once_that_is_confirmed(page: Page, jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    administer(page)
    page.get_by_role("button", name=f"Cancel job {job.id}").click()
    expect(page.get_by_role("dialog")).to_contain_text("Nothing is published")
    agree(page, "Cancel")
    expect(rows(page, "Jobs").first).to_contain_text("cancelled")
    assert jobs.job(job.id).cancel


def test_a_job_that_stops_and_one_that_is_done_say_so(page: Page, jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    running = jobs.claim(job.id, "one")
    assert running is not None
    jobs.cancel(job.id)
    administer(page)
    row = rows(page, "Jobs").first
    expect(row).to_contain_text("stopping")
    expect(row.get_by_role("button")).to_have_count(0)
    jobs.finish(running, {"generation": "20260101T000000Z-0000"})
    expect(row).to_contain_text("built 20260101T000000Z-0000")


def test_what_is_not_agreed_to_is_not_done(page: Page, jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    administer(page)
    for button in (f"Cancel job {job.id}", "Build a new index", "Create a key"):
        page.get_by_role("button", name=button).click()
        agree(page, "Not now")
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert [(one.id, one.cancel) for one in jobs.newest()] == [(job.id, False)]
    expect(part(page, "API keys")).to_contain_text("No keys yet.")


# ---- keys -----------------------------------------------------------------------------------


def test_the_first_key_is_an_administrators_and_this_tab_goes_on_with_it(page: Page) -> None:
    administer(page)
    expect(page.locator(".admin")).to_contain_text("This service has no API keys")
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This is the first key")
    expect(dialog.locator("option")).to_have_text(["Administrator"])
    dialog.get_by_label("Name of its owner or purpose").fill("night shift")
    agree(page, "Create a key")
    secret = dialog.get_by_label("Secret").input_value()
    assert secret.startswith("xk_")
    dialog.get_by_role("button", name="Close").click()
    expect(rows(page, "API keys")).to_contain_text("valid, yours")
    expect(page.get_by_role("button", name="Key: Administrator")).to_be_visible()
    assert secret not in page.content()


def test_a_look_that_was_under_way_as_the_first_key_was_made_asks_for_none(
    page: Page, jobs: Jobs
) -> None:
    jobs.create("reindex", {})  # so that the page looks often
    administer(page)
    look = held(page, "**/me")
    with page.expect_request("**/me"):
        pass
    page.get_by_role("button", name="Create a key").click()
    page.get_by_label("Name of its owner or purpose").fill("night shift")
    agree(page, "Create a key")
    expect(page.get_by_label("Secret")).to_be_visible()
    look[0].continue_()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(rows(page, "API keys")).to_contain_text("valid, yours")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_key_is_made_copied_used_and_revoked(
    own: SmallStore, keys: Keys, context: BrowserContext, page_url: str, faults: list[str]
) -> None:
    _, secret = keys.create("boss", Role.ADMIN)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(page_url)
    sign_in(page, secret)
    administer(page)
    page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of its owner or purpose").fill("ward <3>")
    dialog.get_by_label("Role").select_option("admin")
    expect(dialog.get_by_label("Accessible sources")).to_be_hidden()
    dialog.get_by_label("Role").select_option("writer")
    expect(dialog).to_contain_text("add, change and remove cases")
    dialog.get_by_label("Accessible sources").fill("ward-b, ward-a,")
    dialog.get_by_label("Last day").fill("2099-12-30")
    agree(page, "Create a key")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    new: str = page.evaluate("navigator.clipboard.readText()")
    assert new == dialog.get_by_label("Secret").input_value()
    page.keyboard.press("Escape")
    row = rows(page, "API keys").filter(has_text="ward <3>")
    expect(row).to_contain_text("Writer")
    expect(row).to_contain_text("ward-a, ward-b")
    expect(row).to_contain_text("valid, until 31 Dec 2099")
    expect(row).to_contain_text("never")
    page.get_by_role("button", name="Revoke ward <3>").click()
    expect(page.get_by_role("dialog")).to_contain_text("refused everywhere, for good")
    agree(page, "Revoke")
    expect(row).to_contain_text("revoked")
    expect(page.get_by_role("button", name="Revoke boss")).to_have_count(0)  # its own
    assert [key.revoked_at is None for key in keys.list()] == [True, False]


# ---- who may --------------------------------------------------------------------------------


def test_a_reader_sees_no_admin_and_is_told_why_at_its_address(
    keys: Keys, context: BrowserContext, page_url: str
) -> None:
    _, reader = keys.create("ward", Role.READER)
    _, boss = keys.create("boss", Role.ADMIN)
    page = context.new_page()
    page.goto(page_url)
    sign_in(page, reader)
    expect(page.get_by_role("button", name="Key: Reader")).to_be_visible()
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)
    page.goto(f"{page_url}/#/admin")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This is not allowed")
    expect(alert).to_contain_text("needs a key of role admin; yours is reader")
    alert.get_by_role("button", name="Use another key").click()
    sign_in(page, boss)
    expect(rows(page, "Index").first).to_be_visible()
    expect(page.get_by_role("link", name="Admin")).to_be_visible()
    expect(alert).to_be_empty()


@pytest.fixture
def asked(keys: Keys, context: BrowserContext, page_url: str) -> tuple[Page, Key, str]:
    """A page that asks for a key, and a reader's with its secret."""
    key, secret = keys.create("ward", Role.READER)
    page = context.new_page()
    page.goto(page_url)
    return page, key, secret


def test_a_key_is_forgotten_when_told(asked: tuple[Page, Key, str]) -> None:
    page, key, secret = asked
    sign_in(page, secret)
    page.get_by_role("button", name="Key: Reader").click()
    expect(page.get_by_role("dialog")).to_contain_text(key.id)
    with page.expect_response("**/page/forget") as forgotten:
        page.get_by_role("button", name="Forget this key").click()
    assert forgotten.value.status == 204
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert secret not in page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.locator(".gallery li")).to_have_count(0)


def test_a_key_of_sources_says_so_beside_its_role(
    keys: Keys, context: BrowserContext, page_url: str
) -> None:
    end = datetime(2099, 12, 31, 12, tzinfo=UTC)
    _, secret = keys.create("ward", Role.READER, sources=["ward-b", "ward-a"], expires_at=end)
    page = context.new_page()
    page.goto(page_url)
    sign_in(page, secret)
    page.get_by_role("button", name="Key: Reader, ward-a, ward-b").click()
    expect(page.get_by_role("dialog")).to_contain_text(
        "It has access to the cases of ward-a, ward-b."
    )
    expect(page.get_by_role("dialog")).to_contain_text("It expires on 31 Dec 2099")


def test_an_expired_key_is_told_apart_from_a_wrong_one(
    keys: Keys, own: SmallStore, asked: tuple[Page, Key, str]
) -> None:
    page, _, secret = asked
    with open_catalog(own.store.database_url) as catalog, writing(catalog.engine) as connection:
        connection.execute(update(KeyRow).values(expires_at=datetime(2026, 1, 1, tzinfo=UTC)))
    page.wait_for_timeout(1000 * REFRESH_SECONDS)
    sign_in(page, secret)
    expect(page.get_by_role("dialog")).to_contain_text("That key has expired")


def test_another_key_is_used_when_told(asked: tuple[Page, Key, str], keys: Keys) -> None:
    page, _, ward = asked
    _, boss = keys.create("boss", Role.ADMIN)
    sign_in(page, ward)
    page.get_by_role("button", name="Key: Reader").click()
    page.get_by_role("button", name="Use another key").click()
    sign_in(page, boss)
    expect(page.get_by_role("button", name="Key: Administrator")).to_be_visible()
    administer(page)


def test_whoever_closes_the_question_may_sign_in_later(asked: tuple[Page, Key, str]) -> None:
    page, _, secret = asked
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Sign in").click()
    sign_in(page, secret)
    expect(page.locator(".gallery > li")).to_have_count(CASES)


def test_a_key_that_is_wrong_is_asked_for_again(asked: tuple[Page, Key, str]) -> None:
    page, _, secret = asked
    sign_in(page, "xk_wrong")
    expect(page.get_by_role("dialog")).to_contain_text("That key is unknown or revoked")
    sign_in(page, secret)
    expect(page.locator(".gallery > li")).to_have_count(CASES)


@pytest.fixture
def late(
    keys: Keys, context: BrowserContext, page_url: str
) -> Iterator[tuple[Page, str, Callable[[], None]]]:
    """A page, a key, and a request without it that is refused only when told."""
    _, secret = keys.create("ward", Role.READER)
    page = context.new_page()
    without = held(page, "**/findings")
    page.goto(page_url)
    expect(page.get_by_label("Key", exact=True)).to_be_visible()

    def refuse() -> None:
        with page.expect_response("**/findings") as refused:
            without[0].continue_()
        assert refused.value.status == 401

    yield page, secret, refuse
    page.wait_for_timeout(200)  # a question would be there by now
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_what_was_sent_without_a_key_and_refused_after_one_was_given_is_sent_again(
    late: tuple[Page, str, Callable[[], None]],
) -> None:
    page, secret, refuse = late
    sign_in(page, secret)
    expect(page.locator(".gallery > li")).to_have_count(CASES)
    with page.expect_response(lambda one: one.url.endswith("/findings") and one.ok):
        refuse()


def test_whoever_gave_no_key_is_not_asked_again_by_what_was_sent_before(
    late: tuple[Page, str, Callable[[], None]],
) -> None:
    page, _, refuse = late
    page.get_by_role("button", name="Close").click()
    refuse()


# ---- errors, and a service that is away -----------------------------------------------------


def test_recent_errors_are_told_in_words_with_the_request_to_look_up(
    page: Page, faults: list[str]
) -> None:
    faults.append("status of 400")
    administer(page)
    expect(part(page, "Recent errors")).to_contain_text("None since")
    page.get_by_role("link", name="New image").click()
    image = {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.set_input_files("#file", files=[image])
    expect(page.get_by_role("alert")).to_contain_text("Request ")
    alert = page.get_by_role("alert").inner_text()
    administer(page)
    row = rows(page, "Recent errors").first
    expect(row).to_contain_text("400 The file cannot be read as an image")
    expect(row).to_contain_text("POST /query")
    (request,) = re.findall("Request ([0-9a-f]+)", alert)
    expect(row).to_contain_text(request)


def test_a_service_that_is_away_for_a_moment_is_said_and_looked_for_again(
    page: Page, jobs: Jobs, faults: list[str]
) -> None:
    faults.append("net::ERR_FAILED")
    jobs.create("reindex", {})  # so that the page looks often
    administer(page)
    page.route("**/jobs", lambda route: route.abort())
    expect(page.locator(".trouble").first).to_contain_text("does not answer")
    page.unroute("**/jobs")
    expect(page.locator(".trouble").first).to_be_empty()


def test_an_index_that_was_published_and_does_not_answer_is_told(older: str, page: Page) -> None:
    def stuck(route: Route) -> None:
        response = route.fetch()
        told = json.loads(response.body())
        for one in told["generations"]:
            one["answers"] = not one["live"]
        route.fulfill(response=response, json=told)

    page.route("**/generations", stuck)
    administer(page)
    expect(part(page, "Index")).to_contain_text("published, not loaded")
    expect(part(page, "Index")).to_contain_text("the log says why")


# ---- for everybody --------------------------------------------------------------------------


def test_everything_is_done_with_the_keyboard_alone(older: str, page: Page, jobs: Jobs) -> None:
    job = jobs.create("reindex", {})
    administer(page)

    def press(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.ariaLabel ?? ''") == name:
                break
        else:
            pytest.fail(f"the Tab key never comes to {name}")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        for _ in range(2):  # from the dialog's own Close to what it is about
            page.keyboard.press("Tab")

    press(f"Cancel job {job.id}")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(rows(page, "Jobs").first).to_contain_text("cancelled")
    press(f"Publish {older}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@every_look
def test_administration_obeys_wcag(
    older: str, page: Page, jobs: Jobs, faults: list[str], theme: str, screen: str, tmp_path: Path
) -> None:
    faults.append("status of 400")
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_role("button", name="Light theme").click()
    running = jobs.claim(jobs.create("reindex", {}).id, "one")
    assert running is not None
    jobs.renew(running, 5, 20, ("half way",))
    page.set_input_files("#file", files=[{"name": "x", "mimeType": "image/png", "buffer": b"x"}])
    expect(page.get_by_role("alert")).not_to_be_empty()
    administer(page)
    page.locator("summary").click()
    obeys_wcag(page, tmp_path / f"admin-{screen}-{theme}.png")
    page.get_by_role("button", name="Build a new index").click()
    obeys_wcag(page, tmp_path / f"confirm-{screen}-{theme}.png")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Create a key").click()
    page.get_by_label("Name of its owner or purpose").fill("night shift")
    obeys_wcag(page, tmp_path / f"key-{screen}-{theme}.png")
    agree(page, "Create a key")
    expect(page.get_by_label("Secret")).to_be_visible()
    obeys_wcag(page, tmp_path / f"secret-{screen}-{theme}.png")
    page.keyboard.press("Escape")
    expect(rows(page, "API keys")).to_contain_text("yours")
    obeys_wcag(page, tmp_path / f"keys-{screen}-{theme}.png")
