"""Lists lines of the page's scripts that no test runs, by Chromium's own coverage.

    python -m tests.system.page_coverage

Runs the page's tests (about seven minutes), then prints each line of `app/page/*.js` with code that
never ran. Code that ran only before a page was reloaded or closed is not counted. Failures are
reported as usual, and the exit status is pytest's.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "app" / "page"
TESTS = sorted(map(str, (ROOT / "tests" / "app").glob("test_page*.py")))
SHOWN = 120


class Coverage:
    """A pytest plugin that measures coverage on every page of a test.

    Attributes:
        ran: for each script, a flag per character: whether it ever ran.
    """

    def __init__(self) -> None:
        self.ran: defaultdict[str, bytearray] = defaultdict(bytearray)

    @pytest.fixture(autouse=True)
    def counted(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """Measure every page of the test from its first script on."""
        if "context" not in request.fixturenames:
            yield
            return
        context: BrowserContext = request.getfixturevalue("context")
        sessions: list[tuple[Page, CDPSession]] = []
        new_page = context.new_page

        def counting_page() -> Page:
            page = new_page()
            session = context.new_cdp_session(page)
            session.send("Profiler.enable")
            options = {"callCount": True, "detailed": True}
            session.send("Profiler.startPreciseCoverage", options)
            sessions.append((page, session))
            return page

        monkeypatch.setattr(context, "new_page", counting_page)
        yield
        for page, session in sessions:
            if not page.is_closed():
                for script in session.send("Profiler.takePreciseCoverage")["result"]:
                    self._add(script)

    def _add(self, script: dict[str, Any]) -> None:
        name = script["url"].rpartition("/page/")[2]
        if not (name.endswith(".js") and (SCRIPTS / name).is_file()):
            return
        counts = bytearray(len((SCRIPTS / name).read_text()))
        ranges = [one for function in script["functions"] for one in function["ranges"]]
        # inner blocks override the blocks around them
        for one in sorted(ranges, key=lambda one: (one["startOffset"], -one["endOffset"])):
            start, end = one["startOffset"], min(one["endOffset"], len(counts))
            counts[start:end] = bytes([one["count"] > 0]) * (end - start)
        before = self.ran[name] or bytes(len(counts))
        self.ran[name] = bytearray(a | b for a, b in zip(before, counts, strict=True))

    def never(self, name: str) -> Iterator[str]:
        """Yield the code of a script that never ran, line by line."""
        ran, at = self.ran[name] or bytes(10**6), 0
        for number, line in enumerate((SCRIPTS / name).read_text().splitlines(), 1):
            idle = [place for place in range(len(line)) if not ran[at + place]]
            part = line[idle[0] : idle[-1] + 1].strip() if idle else ""
            if any(character.isalnum() for character in part):
                yield f"{name}:{number}: {part[:SHOWN]}"
            at += len(line) + 1


def main() -> int:
    """Run the tests, then report."""
    coverage = Coverage()
    status = pytest.main(["-q", *TESTS], plugins=[coverage])
    for script in sorted(SCRIPTS.glob("*.js")):
        for line in coverage.never(script.name):
            print(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
