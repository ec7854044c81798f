"""The ruler: lengths by the header where the image has a pixel spacing, and none where not."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.reading import eventually, needs_chromium, pictures_shown, send

pytestmark = needs_chromium

SIZE_MM = [400.0, 300.0]
"""Height and width of the query, of 600 x 450 pixels; the cases have none."""


@pytest.fixture
def looking(page: Page) -> Page:
    """The first case beside the query, whose size is known."""

    def answer(route: Route) -> None:
        said = route.fetch().json() | {"size_mm": SIZE_MM}
        route.fulfill(body=json.dumps(said), content_type="application/json")

    page.route("**/query?**", answer)
    send(page)
    page.locator(".card .thumbnail").first.click()
    expect(page.locator("dialog.compare")).to_be_visible()
    pictures_shown(page, "dialog.compare")
    screen = page.locator("canvas.screen").first
    eventually(page, lambda: screen.evaluate("one => one.width > 300"))
    return page


def measure(page: Page, pane: int, share: float) -> str:
    """Draw a line across a pane's middle, over a share of the picture's width; its label."""
    stage = page.locator(".pane").nth(pane)
    box = stage.bounding_box()
    assert box
    sides: tuple[int, int] = stage.locator("canvas.screen").evaluate("c => [c.width, c.height]")
    width = sides[0] * min(box["width"] / sides[0], box["height"] / sides[1])
    middle, down = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle - share * width / 2, down)
    page.mouse.down()
    page.mouse.move(middle + share * width / 2, down, steps=3)
    page.mouse.up()
    label = stage.locator(".length")
    expect(label).to_be_visible()
    return label.text_content() or ""


def test_a_line_is_as_long_as_the_header_says(looking: Page) -> None:
    looking.get_by_role("button", name="Ruler").click()
    said = measure(looking, 0, 0.5)
    millimetres, _, where = said.partition(" ")
    assert float(millimetres) == pytest.approx(150, abs=2)
    assert where == "mm by the header"
    looking.keyboard.press("+")  # the line lies where it lay on the picture
    expect(looking.locator(".length").first).to_have_text(said)


def test_an_image_without_spacing_has_no_scale(looking: Page) -> None:
    looking.keyboard.press("e")
    assert measure(looking, 1, 0.3) == "no scale: the image brings no pixel spacing"


def test_without_the_ruler_dragging_moves_and_no_line_remains(looking: Page) -> None:
    looking.keyboard.press("e")
    measure(looking, 0, 0.3)
    moved = looking.locator(".pane .radiograph").first
    assert "translate(0px, 0px)" in (moved.get_attribute("style") or "")
    looking.keyboard.press("e")
    expect(looking.locator(".length").first).to_be_hidden()
