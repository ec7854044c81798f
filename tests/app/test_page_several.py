"""Several images as one question on the page: sent together, joined by a case, taken out again."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.app.reading import SENT, needs_chromium, obeys_wcag, pictures_shown, send
from tests.images import drawn_image, encoded

pytestmark = needs_chromium

OTHER = SENT | {"name": "b.png", "buffer": encoded(drawn_image(78, 500, 500))}
STRIP = ".together > ul:first-child > li"


def send_together(page: Page) -> None:
    """Send two images as one question."""
    page.set_input_files("#file", files=[SENT, OTHER])
    page.get_by_label("One question").check()
    page.get_by_role("button", name="Find similar cases").click()
    expect(page.locator(STRIP)).to_have_count(2)


def test_images_sent_together_are_one_question_that_its_address_names(page: Page) -> None:
    send_together(page)
    expect(page.locator(".answer .card")).to_have_count(5)
    parts = r"score -?0\.\d{3} = image 1 [+−]0\.\d{3}, image 2 [+−]0\.\d{3}"
    expect(page.locator(".steered").first).to_have_text(re.compile(parts))
    expect(page.get_by_text("Cases are ranked by all 2 images")).to_be_visible()
    expect(page.get_by_role("link", name="Rate")).to_have_count(0)  # against one image alone
    cases = page.locator(".card .thumbnail")
    ranked = [one.get_attribute("data-focus") for one in cases.all()]
    first = page.url
    page.get_by_role("button", name="Put image 2 first").click()
    expect(page).not_to_have_url(first)
    expect(page.locator(".card .thumbnail").first).to_have_attribute("data-focus", ranked[0] or "")
    page.reload()
    expect(page.locator(STRIP)).to_have_count(2)
    page.go_back()
    expect(page).to_have_url(first)
    page.get_by_role("button", name="Take image 2 out of the question").click()
    expect(page.locator(STRIP)).to_have_count(0)
    expect(page.locator(".steered")).to_have_count(0)


def test_a_case_joins_by_its_button_and_by_dragging_it_onto_the_query(
    page: Page, tmp_path: Path
) -> None:
    send(page)
    first = page.locator(".card .thumbnail").first.get_attribute("data-focus") or ""
    page.get_by_role("button", name="Add to query: case 1").click()
    expect(page.locator(STRIP)).to_have_count(2)
    expect(page.locator(f"[data-focus={first}]")).to_have_count(0)

    thumbnail = page.locator(".card .thumbnail").first
    page.locator(".query").hover(position={"x": 40, "y": 300})
    target, start = page.locator(".query").bounding_box(), thumbnail.bounding_box()
    assert target is not None
    assert start is not None
    page.mouse.move(start["x"] + 60, start["y"] + 60)
    page.mouse.down()
    page.mouse.move(target["x"] + 60, target["y"] + 200, steps=5)
    expect(page.locator(".query.over")).to_have_count(1)
    page.mouse.up()
    expect(page.locator(STRIP)).to_have_count(3)
    expect(page.locator("dialog")).to_have_count(0)  # a drag is no click
    pictures_shown(page, ".together")
    obeys_wcag(page, tmp_path / "together.png")

    page.get_by_role("button", name="Take image 1 out of the question").click()
    expect(page.locator(STRIP)).to_have_count(2)  # the question goes on, about a case
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Past case"))


def test_another_file_joins_the_question_and_a_new_one_begins_another(page: Page) -> None:
    send(page)
    page.set_input_files("#join", files=[OTHER])
    expect(page.locator(STRIP)).to_have_count(2)
    page.keyboard.press("n")
    send(page)
    expect(page.locator(STRIP)).to_have_count(0)


def test_a_collection_keeps_all_images_of_a_question(page: Page) -> None:
    send_together(page)
    page.keyboard.press("a")
    page.get_by_label("Collection", exact=True).select_option("")
    page.get_by_label("Name").fill("Together")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Added to “Together”")
    page.keyboard.press("w")
    page.get_by_role("link", name="Together").first.click()
    expect(page.locator(".work .card")).to_have_count(2)
    expect(page.get_by_text("An image of a question of several")).to_have_count(1)
    page.get_by_text("with its conditions").locator("xpath=ancestor::li").get_by_role(
        "link"
    ).click()
    expect(page.locator(STRIP)).to_have_count(2)


def test_a_question_with_an_image_that_is_gone_may_be_asked_without_it(
    page: Page, faults: list[str]
) -> None:
    faults.append("status of 404")
    send(page)
    page.evaluate("location.hash += `?with_query=${'0'.repeat(16)}`")
    expect(page.get_by_role("alert")).to_contain_text("unknown or forgotten")
    page.get_by_role("button", name="Ask without the other images").click()
    expect(page.locator(".answer .card")).to_have_count(5)
    expect(page.locator(STRIP)).to_have_count(0)
