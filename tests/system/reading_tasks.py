"""Does what a radiologist does on the page, and counts clicks, keys and seconds.

Drives Chromium with a running service, such as that of `make demo`:

    python -m tests.system.reading_tasks --image .demo/asked/images/phantom-000000.png

The seconds are those of page and service: nobody looks or thinks. A drag counts as a click, a text
that is typed as one key. It needs the dependency group `dev`, and Chromium (`apt-get install
chromium`).
"""

import argparse
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

NAME = "Tasks of a reader"
"""Collection that the script makes, and deletes."""


class Reader:
    """Acts on the page, and counts what it does.

    Attributes:
        page: of the service.
        clicks: with mouse or finger; choosing a file or an option is one, and so is a drag.
        keys: shortcuts, and texts that are typed.
    """

    def __init__(self, page: Page, image: Path) -> None:
        self.page = page
        self._image = image
        self.clicks = 0
        self.keys = 0

    def click(self, where: Locator) -> None:
        """Click on something."""
        self.clicks += 1
        where.click()

    def press(self, key: str) -> None:
        """Use a shortcut."""
        self.keys += 1
        self.page.keyboard.press(key)

    def type(self, where: Locator, text: str) -> None:
        """Click into a field and type."""
        self.keys += 1
        where.fill(text)

    def drag(self, stage: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over an element; both points in shares of its sides."""
        self.clicks += 1
        box = stage.bounding_box()
        assert box is not None
        move, mouse = [], self.page.mouse
        for across, down in (start, end):
            move.append((box["x"] + across * box["width"], box["y"] + down * box["height"]))
        mouse.move(*move[0])
        mouse.down()
        mouse.move(*move[1], steps=4)
        mouse.up()

    def wait(self, so: Callable[[], bool]) -> None:
        """Wait until that is so; the page's policy lets no text be evaluated in it meanwhile."""
        while not so():
            self.page.wait_for_timeout(50)

    def button(self, name: str | re.Pattern[str]) -> Locator:
        """Find a button by its name."""
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str)).first

    # ---- the tasks, in an order in which each finds what it needs -------------------------------

    def ask(self) -> None:
        """Find cases similar to a new image."""
        self.clicks += 1
        self.page.set_input_files("#file", self._image)
        expect(self.page.locator(".card")).to_have_count(5)

    def see_where(self) -> None:
        """See where the second finding lies."""
        self.click(self.page.locator(".finding").nth(1))
        self.press("2")
        expect(self.page.locator(".cases > .legend")).to_contain_text("place by place")
        self.press("1")

    def see_why(self) -> None:
        """See which places make the cases similar."""
        self.press("3")
        expect(self.page.locator(".query .caption")).to_contain_text("add up to")
        self.press("1")

    def compare(self) -> None:
        """Compare the first case side by side, bones windowed."""
        self.press("c")
        expect(self.page.locator("dialog.compare")).to_be_visible()
        picture = self.page.locator("canvas.screen").first
        self.wait(lambda: picture.evaluate("one => one.width > 300"))
        self.press("9")

    def measure(self) -> None:
        """Measure a structure."""
        self.press("e")
        self.drag(self.page.locator(".pane").first, (0.45, 0.5), (0.55, 0.5))
        expect(self.page.locator(".length").first).to_be_visible()
        self.press("Escape")
        expect(self.page.locator("dialog.compare")).to_be_hidden()

    def steer(self) -> None:
        """Search nearer to one case and farther from another."""
        for name in ("Wanted", "Not wanted"):
            self.click(self.page.get_by_text(name, exact=True).first)
            expect(self.page.locator(".marked")).to_contain_text(
                "nearer to" if name == "Wanted" else "farther from"
            )

    def join(self) -> None:
        """Ask with a case as well, then without it."""
        self.click(self.button(re.compile("^Add to query")))
        expect(self.page.locator(".together")).to_be_visible()
        self.click(self.button("Take image 2 out of the question"))
        expect(self.page.locator(".together")).to_have_count(0)

    def contrast(self) -> None:
        """See cases with and without the explained finding."""
        self.click(self.button(re.compile("^With and without")))
        expect(
            self.page.get_by_role("heading", name=re.compile("^Most similar with "))
        ).to_be_visible()
        self.click(self.button(re.compile("^With and without")))
        expect(
            self.page.get_by_role("heading", name=re.compile("^Most similar cases"))
        ).to_be_visible()

    def save(self) -> None:
        """Save the query with a note."""
        self.press("a")
        self.clicks += 1
        self.page.get_by_label("Collection", exact=True).select_option("")
        self.type(self.page.get_by_label("Name"), NAME)
        self.type(self.page.get_by_label("Note"), "to be discussed")
        self.click(self.button("Add"))
        expect(self.page.get_by_role("alert")).to_contain_text("Added to")

    def share(self) -> None:
        """Share what was saved with a colleague."""
        self.press("w")
        self.click(self.page.get_by_role("link", name=NAME))
        self.click(self.button("Share"))
        expect(self.button("Stop sharing")).to_be_visible()

    def find_again(self) -> None:
        """Come back to a saved query."""
        self.press("w")
        self.click(self.page.get_by_role("link", name=NAME))
        self.click(self.page.locator(".work .card a").first)
        expect(self.page.locator(".answer .card").first).to_be_visible()

    def rate(self) -> None:
        """Look at a case in full, and rate three, blind."""
        self.press("r")
        self.type(self.page.get_by_label("Your pseudonym"), "reader-1")
        self.press("Enter")
        self.click(self.page.locator(".pool .thumbnail").first)
        self.press("Escape")
        for grade in "420":
            self.page.locator(".pool .thumbnail").first.focus()
            self.press(grade)

    def print(self) -> None:
        """Print the record of an answer."""
        self.page.go_back()
        expect(self.page.locator(".answer .card").first).to_be_visible()
        self.page.evaluate("window.print = () => { window.printed = true }")
        self.press("p")
        self.wait(lambda: self.page.evaluate("Boolean(window.printed)"))


TASKS: tuple[Callable[[Reader], None], ...] = (
    *(Reader.ask, Reader.see_where, Reader.see_why, Reader.compare, Reader.measure),
    *(Reader.steer, Reader.join, Reader.contrast, Reader.save, Reader.share, Reader.find_again),
    *(Reader.rate, Reader.print),
)


def main() -> None:
    """Do all tasks, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or DICOM")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        parser.error("there is no Chromium here: apt-get install chromium")
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000)
        page.goto(arguments.url)
        expect(page.locator(".gallery li").first).to_be_visible()
        print("| task | clicks | keys | s |\n|---|---|---|---|")
        try:
            for task in TASKS:
                print(row(task, Reader(page, arguments.image)), flush=True)
        finally:
            tidy_up(page, arguments.url)
            browser.close()


def row(task: Callable[[Reader], None], reader: Reader) -> str:
    """Do a task and describe it as a row of the table."""
    began = time.monotonic()
    task(reader)
    seconds = time.monotonic() - began
    said = (task.__doc__ or "").rstrip(".")
    return f"| {said} | {reader.clicks} | {reader.keys} | {seconds:.1f} |"


def tidy_up(page: Page, url: str) -> None:
    """Delete the collection that the tasks made."""
    for one in page.request.get(f"{url}/collections").json()["collections"]:
        if one["name"] == NAME:
            page.request.delete(f"{url}/collections/{one['collection_id']}")


if __name__ == "__main__":
    main()
