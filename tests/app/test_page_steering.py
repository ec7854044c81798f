"""Steering on the page: cases marked as wanted or not, and a region of the query."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.app.reading import needs_chromium, obeys_wcag, send

pytestmark = needs_chromium


def test_a_search_is_steered_by_marks_and_by_a_region(page: Page, tmp_path: Path) -> None:
    send(page)
    first = page.locator(".card .thumbnail").first.get_attribute("data-focus") or ""
    page.get_by_role("button", name="Search nearer to case 1").click()
    expect(page.locator(".marked li")).to_have_count(1)
    expect(page.locator(f"[data-focus={first}]")).to_have_count(0)  # a marked case was seen
    page.get_by_role("button", name="Search farther from case 2").click()
    expect(page.locator(".marked li")).to_have_count(2)
    parts = r"score -?0\.\d{3} = image [+−]0\.\d{3}, wanted [+−]0\.\d{3}, not wanted [+−]0\.\d{3}"
    expect(page.locator(".steered").first).to_have_text(re.compile(parts))
    obeys_wcag(page, tmp_path / "steered.png")

    page.get_by_role("button", name="Draw a region").click()
    expect(page.get_by_text("Drag over the image.")).to_be_visible()
    box = page.locator(".query .radiograph").bounding_box()
    assert box is not None
    corners = [
        (box["x"] + share * box["width"], box["y"] + share * box["height"]) for share in (0.3, 0.7)
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1])
    page.mouse.up()
    expect(page.locator("#region option:checked")).to_have_text("the marked region")
    expect(page.locator(".query .region")).to_be_visible()

    page.select_option("#region", label="left lower zone")
    expect(page.locator("#region option:checked")).to_have_text("left lower zone")
    assert "region=0.5%2C0.667%2C1%2C1" in page.url
    page.select_option("#region", label="whole image")
    expect(page.locator(".query .region")).to_be_hidden()
    for left in (1, 0):
        page.get_by_role("button", name="Unmark case").first.click()
        expect(page.locator(".marked li")).to_have_count(left)
    expect(page.locator(".steered")).to_have_count(0)
    expect(page.locator(f"[data-focus={first}]")).to_be_visible()
