"""How tests of the reading room look at the page; the browser itself is a fixture (conftest)."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, Route, expect
from xemplar_app.main import create_app
from xemplar_app.settings import ServiceSettings

from tests.images import drawn_image, encoded
from xemplar.retrieval.retriever import Retriever

CHROMIUM = (
    os.environ.get("XEMPLAR_CHROMIUM")
    or shutil.which("chromium-headless-shell")
    or shutil.which("chromium")
)

SCREENS = {"desk": (1280, 720), "tablet": (768, 1024)}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

every_look = pytest.mark.parametrize(
    ("screen", "theme"),
    [
        ("desk", "dark"),
        ("tablet", "light"),
        pytest.param("desk", "light", marks=pytest.mark.long),
        pytest.param("tablet", "dark", marks=pytest.mark.long),
    ],
)
"""Colours follow the theme, sizes the screen: two looks have each once; `make thorough` has all."""

IMAGE = encoded(drawn_image(77, 600, 450))
SENT: FilePayload = {"name": "image.png", "mimeType": "image/png", "buffer": IMAGE}

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here to look at the page with: apt-get install chromium, or name one in "
    "XEMPLAR_CHROMIUM",
)


@contextmanager
def serving(config: uvicorn.Config) -> Iterator[str]:
    """Serve over HTTP; gives the address."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def served(settings: ServiceSettings, retriever: Retriever) -> Iterator[str]:
    """The service and its page; gives the address."""
    app = create_app(settings, retriever)
    with pytest.MonkeyPatch.context() as patch:
        # a key that a test makes counts at once: a page that was told of none asks for none
        patch.setattr("xemplar_app.security.REFRESH_SECONDS", 0.0)
        with serving(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)) as url:
            yield url


def send(page: Page) -> None:
    """Choose a file, and wait for its answer."""
    page.set_input_files("#file", files=[SENT])
    expect(page.locator(".card")).to_have_count(5)


def open_filters(page: Page) -> None:
    """Unfold all conditions."""
    page.locator(".filters > summary").click()
    page.locator(".more > summary").click()


def eventually(page: Page, so: Callable[[], bool]) -> None:
    """Wait until that is so: what is painted comes a moment after the words about it."""
    for _ in range(100):
        if so():
            return
        page.wait_for_timeout(100)
    assert so()


def held(page: Page, address: str) -> list[Route]:
    """The next request to an address will lie here, and is answered once it is continued."""
    routes: list[Route] = []
    page.route(address, lambda route: routes.append(route), times=1)
    return routes


def removed(route: Route) -> None:
    """Answer as the service does of a case that is not there any more."""
    problem = '{"type": "urn:xemplar:problem:NotFound", "status": 404, "detail": "it was removed"}'
    headers = {"Content-Type": "application/problem+json"}
    route.fulfill(status=404, body=problem, headers=headers)


def sign_in(page: Page, secret: str) -> None:
    """Give the key that the page asks for."""
    page.get_by_label("Key", exact=True).fill(secret)
    page.get_by_role("button", name="Use this key").click()


def pictures_shown(page: Page, where: str) -> None:
    """Wait until all pictures of an element are there."""
    page.wait_for_function(
        "where => [...document.querySelectorAll(where)].every(i => i.complete && i.naturalWidth)",
        arg=f"{where} img",
    )


def obeys_wcag(page: Page, picture: Path) -> None:
    """axe-core without violations, nothing beyond the right edge; else a picture to look at."""
    page.wait_for_timeout(200)
    page.evaluate("scrollTo(0, 0)")  # else what lies half beneath the header counts as too small
    found = Axe().run(page, options={"runOnly": WCAG, "resultTypes": ["violations"]})
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if found.violations_count or not fits:
        page.screenshot(path=picture)
    assert page.locator("h1").count() == 1, picture.stem
    assert found.violations_count == 0, f"{picture.stem}: {found.generate_report()}"
    assert fits, picture.stem
