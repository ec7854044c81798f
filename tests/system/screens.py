"""Takes the README's screenshots of the reading room and measures the time to the first case.

Drives Chromium with a running service, such as that of `make demo`:

    python -m tests.system.screens --image .demo/asked/images/phantom-000000.png \
        --out docs/pictures

It needs the dependency group `dev`, and Chromium (`apt-get install chromium`).
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

SIZE: ViewportSize = {"width": 1280, "height": 720}
GRADES = (4, 2, 0)

LATEST_MS = 300
"""Limit from the service's response to the first case on the page."""

WATCH = """new MutationObserver(() => {
    if (document.querySelector(".card")) window.seen ??= performance.now();
}).observe(document.body, {childList: true, subtree: true})"""
"""Records when the first case appears on the page."""

LATE = """seen - performance.getEntriesByType("resource").find(
    (one) => /query\\?/.test(one.name)).responseEnd"""


def main() -> None:
    """Open the page, send the image and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or DICOM")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        parser.error("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            take_screenshots(browser, arguments.url, arguments.image, arguments.out)
        finally:
            browser.close()


def take_screenshots(browser: Browser, url: str, image: Path, out: Path) -> None:
    """Take screenshots of answer, maps, comparison, a collection and rating."""
    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport=SIZE)
    begun = time.monotonic()
    page.goto(url)
    page.evaluate(WATCH)
    page.set_input_files("#file", image)
    expect(page.locator(".card img").first).to_be_visible(timeout=60_000)
    settled(page)
    seconds = time.monotonic() - begun
    print(f"the first similar case is seen {seconds:.1f} s after the page is asked for,")
    late: float = page.evaluate(LATE)
    print(f"the answer {late:.0f} ms after the last byte of the service's")
    save(page, out / "room-answer.jpg")

    page.get_by_role("button", name="Heat map", exact=True).click()
    settled(page)
    save(page, out / "room-map.jpg")

    page.get_by_role("button", name="Similarity", exact=True).click()
    expect(page.locator(".query .caption")).to_contain_text("add up to")
    where = page.locator(".query .radiograph").bounding_box()
    assert where is not None
    page.mouse.move(where["x"] + where["width"] * 0.75, where["y"] + where["height"] * 0.5)
    save(page, out / "room-similarity.jpg")

    page.locator(".thumbnail").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    settled(page)
    save(page, out / "room-look.jpg")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    answer = page.url

    page.keyboard.press("a")
    page.get_by_label("Collection", exact=True).select_option("")
    page.get_by_label("Name").fill("Teaching file: consolidation")
    page.get_by_label("Note").fill("beside the heart; compare case 1")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Added to")
    page.get_by_role("link", name="My work").first.click()
    page.get_by_role("link", name="Teaching file: consolidation").click()
    expect(page.get_by_role("button", name="Share", exact=True)).to_be_visible()
    settled(page)
    save(page, out / "room-work.jpg")
    page.goto(answer)
    expect(page.locator(".card img").first).to_be_visible()

    page.get_by_role("link", name="Rate this list").click()
    page.get_by_label("Your pseudonym").fill("reader-1")
    page.keyboard.press("Enter")
    page.locator(".pool .thumbnail").first.focus()
    settled(page)
    for grade in GRADES:
        page.keyboard.press(str(grade))
        settled(page)
    save(page, out / "room-rate.jpg")
    if late >= LATEST_MS:
        sys.exit(f"the answer was shown later than {LATEST_MS} ms")


def settled(page: Page) -> None:
    """Wait until all images are loaded and animations have ended."""
    page.wait_for_function("[...document.images].every(one => one.complete)")
    page.wait_for_timeout(500)


def save(page: Page, picture: Path) -> None:
    """Save a screenshot."""
    page.wait_for_timeout(500)
    page.screenshot(path=picture, type="jpeg", quality=80)
    print(picture)


if __name__ == "__main__":
    main()
