"""Takes a picture of every view of the page at every size, and runs axe-core on it.

Drives Chromium with a running service, such as that of `make demo`:

    python -m tests.system.views --image .demo/asked/images/phantom-000000.png --out build/views

Prints what is to be mended: rules of axe-core that a view violates, and elements beyond the right
edge; exits with 1 where there is any. The pictures are to be looked at: nothing else tells that
something looks wrong. It needs the dependency group `dev`, and Chromium.
"""

import argparse
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect, sync_playwright

SIZES: dict[str, ViewportSize] = {
    "desk": {"width": 1280, "height": 720},
    "large": {"width": 1920, "height": 1080},
    "portrait": {"width": 1080, "height": 1920},
    "tablet": {"width": 820, "height": 1180},
    "phone": {"width": 390, "height": 844},
    "zoomed": {"width": 640, "height": 360},
}
"""Sizes of the screen in CSS pixels; `zoomed` is `desk` at 200 %."""

PATIENCE_MS = 120_000
TOUCHED = ("tablet", "phone")
THEMES = ("dark", "light")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
BEYOND = "document.documentElement.scrollWidth - innerWidth"
"""Pixels by which the page is wider than the screen."""

View = Callable[[Page], None]


def button(name: str) -> View:
    """Make a view that a button opens."""
    return lambda page: page.get_by_role("button", name=name, exact=True).first.click()


def key(name: str) -> View:
    """Make a view that a key opens."""
    return lambda page: page.keyboard.press(name)


def unfold(page: Page) -> None:
    """Unfold the filters, and all of them."""
    page.locator(".filters > summary").click()
    page.locator(".more > summary").click()


def compare(page: Page) -> None:
    """Compare the first case."""
    page.locator(".thumbnail").first.click()
    expect(page.locator("dialog.compare")).to_be_visible()


def compare_similarity(page: Page) -> None:
    """Compare the first case by similarity."""
    compare(page)
    page.locator("dialog.compare").get_by_role("button", name="Similarity", exact=True).click()
    expect(page.locator("dialog.compare .caption")).to_contain_text("add up to")


def steer(page: Page) -> None:
    """Ask for cases like the first one."""
    page.locator('[data-focus^="like-"]').first.click()
    expect(page.locator(".marked")).to_be_visible(timeout=60_000)


def patient(page: Page) -> None:
    """Unfold the films of a case's patient, where it has more."""
    compare(page)
    page.locator("dialog.compare .timeline > summary").click()


def rate(page: Page) -> None:
    """Rate two cases."""
    page.keyboard.press("r")
    page.get_by_label("Your pseudonym").fill(f"reader-{secrets.token_hex(4)}")  # none has rated
    page.keyboard.press("Enter")
    page.locator(".pool .thumbnail").first.focus()
    page.keyboard.press("4")
    page.locator(".pool .thumbnail").first.focus()


def go(place: str) -> View:
    """Make a view that has an address."""

    def open_view(page: Page) -> None:
        page.evaluate("place => { location.hash = place; }", place)

    return open_view


def several(page: Page) -> None:
    """Drop two files."""
    file = FilePayload(name="film.png", mimeType="image/png", buffer=b"x")
    page.set_input_files("#file", [file, file])
    page.get_by_role("dialog").get_by_label("Films of one patient").check()


OF_AN_ANSWER: dict[str, View] = {
    "answer": lambda page: None,
    "map": button("Heat map"),
    "similarity": button("Similarity"),
    "filters": unfold,
    "steering": steer,
    "collect": key("a"),
    "change": button("Crop, mask or turn"),
    "shortcuts": key("?"),
    "compare": compare,
    "compare-similarity": compare_similarity,
    "patient": patient,
    "rate": rate,
}
ALONE: dict[str, View] = {
    "ask": lambda page: None,
    "several": several,
    "work": go("#/work"),
    "words": go("#/words?text=effusion"),
    "admin": go("#/admin"),
    "readers": go("#/readers/0123456789abcdef"),
}


def main() -> None:
    """Send the image, and take a picture of each view."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or DICOM")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--themes", nargs="*", choices=THEMES, default=list(THEMES))
    parser.add_argument("--views", nargs="*", default=[*ALONE, *OF_AN_ANSWER])
    asked = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    asked.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        parser.error("there is no Chromium here: apt-get install chromium")
    wrong = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in asked.sizes:
            for theme in asked.themes:
                with opened(browser, asked.url, size, theme) as page:
                    named = f"{size}-{theme}"
                    wrong += all_views(page, asked.image, asked.out, named, asked.views)
        browser.close()
    sys.exit(1 if wrong else 0)


@contextmanager
def opened(browser: Browser, url: str, size: str, theme: str) -> Iterator[Page]:
    """Open the page at a size, in a theme."""
    context = browser.new_context(viewport=SIZES[size], has_touch=size in TOUCHED, bypass_csp=True)
    context.add_init_script(f"localStorage.setItem('xemplar-theme', '{theme}')")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def all_views(page: Page, image: Path, out: Path, name: str, views: Collection[str]) -> int:
    """Take a picture of each of the views; return the number of findings."""
    wrong = 0
    for view, show in ALONE.items():
        if view not in views:
            continue
        page.goto(page.url.split("#")[0] + "#/")
        page.reload()
        show(page)
        wrong += look(page, out, f"{name}-{view}")
    page.goto(page.url.split("#")[0] + "#/")
    page.reload()
    page.set_input_files("#file", image)
    expect(page.locator(".card img").first).to_be_visible()
    answer = page.url
    for view, show in OF_AN_ANSWER.items():
        if view not in views:
            continue
        page.goto(answer)
        page.reload()
        expect(page.locator(".card img").first).to_be_visible()
        show(page)
        wrong += look(page, out, f"{name}-{view}")
    return wrong


def look(page: Page, out: Path, name: str) -> int:
    """Take a picture, and print what axe-core finds; return the number of findings."""
    page.wait_for_function("[...document.images].every(one => one.complete)")
    page.wait_for_timeout(500)
    page.screenshot(path=out / f"{name}.png")
    page.evaluate("scrollTo(0, 0)")  # else what lies half beneath the header counts as too small
    found: list[dict[str, Any]] = Axe().run(page, options={"runOnly": WCAG}).response["violations"]
    for rule in found:
        print(f"{name}: {rule['id']}: {[node['target'] for node in rule['nodes']][:3]}")
    beyond = int(page.evaluate(BEYOND))
    if beyond > 0:
        print(f"{name}: {beyond} pixels wider than the screen")
    print(f"{name}: {len(found)} violations")
    return len(found) + (beyond > 0)


if __name__ == "__main__":
    main()
