"""The service on a small store that the real index job made."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.exceptions import StarletteDeprecationWarning
from xemplar_app import opening, security
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.stores import SmallStore, small_store
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, open_keys
from xemplar.retrieval.retriever import Retriever

with warnings.catch_warnings():
    # it asks for httpx2 in place of httpx2; imported here first, it is quiet everywhere else
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient

    from tests.app.asking import Service
    from tests.app.reading import CHROMIUM, served

MAX_BYTES = 3_000_000


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the page's tests by their files' names: `make test` runs them beside the system's.

    They come last, as others cannot run an event loop while Playwright runs its own.
    """
    for item in items:
        if item.path.name.startswith("test_page"):
            item.add_marker(pytest.mark.page)
    items.sort(key=lambda item: item.get_closest_marker("page") is not None)


@pytest.fixture(autouse=True, scope="session")
def _this_machine() -> Iterator[None]:
    """Without keys the service answers only its own machine, which the test client calls so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security, "LOOPBACK_NAMES", {*security.LOOPBACK_NAMES, "testserver"})
        yield


@pytest.fixture(autouse=True, scope="session")
def _retrievers_warmed_up_once() -> Iterator[None]:
    """It takes as long as a query, and hundreds of services have the same one."""
    warm_up, warm = opening.warm_up, WeakSet[Retriever]()

    def warm_up_once(retriever: Retriever) -> None:
        if retriever not in warm:
            warm_up(retriever)
            warm.add(retriever)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "warm_up", warm_up_once)
        yield


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


@pytest.fixture(autouse=True)
def _without_memory_of_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """The small store serves with databases of tests' own, one with keys, the next one without."""
    yield
    if "small" in request.fixturenames:
        shared: SmallStore = request.getfixturevalue("small")
        shared.store.had_keys.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def settings(small: SmallStore) -> ServiceSettings:
    return ServiceSettings(
        store=small.store.root,
        checkpoint=small.checkpoint,
        precision=Precision.FLOAT32,
        max_upload_bytes=MAX_BYTES,
        recent_queries=1000,
        requests_per_second=0,
    )


@pytest.fixture(scope="session")
def retriever(settings: ServiceSettings) -> Retriever:
    return open_retriever(settings)


@pytest.fixture(scope="session")
def client(settings: ServiceSettings, retriever: Retriever) -> Iterator[TestClient]:
    """An error that the service does not answer fails the test: it is raised here."""
    with TestClient(create_app(settings, retriever)) as one:
        yield one


@pytest.fixture
def own_client(own: SmallStore) -> Iterator[TestClient]:
    """A service on that store."""
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        yield client


@pytest.fixture
def keys(own: SmallStore) -> Iterator[Keys]:
    with open_keys(own.store.database_url) as opened:
        yield opened


@pytest.fixture
def service(
    own: SmallStore,
    settings: ServiceSettings,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    """A service whose keys are the own store's; keyword arguments are settings."""
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    opened: list[TestClient] = []

    def made(**changes: object) -> TestClient:
        changes = {"database_url": own.store.database_url, **changes}
        client = TestClient(create_app(settings.model_copy(update=changes), retriever))
        opened.append(client.__enter__())
        return client

    yield made
    for client in opened:
        client.__exit__(None, None, None)


# ---- the reading room in a browser ----------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * PATIENCE / 2)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_url(settings: ServiceSettings, retriever: Retriever) -> Iterator[str]:
    """Where the page is served, on the small store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retriever, "close", lambda: None)  # other tests go on with it
        with served(settings, retriever) as url:
            yield url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(1000 * PATIENCE / 2)
    yield context
    context.close()


@pytest.fixture
def faults() -> list[str]:
    """What a test expects the console to say."""
    return []


@pytest.fixture
def page(context: BrowserContext, page_url: str, faults: list[str]) -> Iterator[Page]:
    """On the page; a fault of a script, or anything that the policy forbids, fails the test."""
    page, told = context.new_page(), list[str]()
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("console", lambda one: told.append(one.text) if one.type == "error" else None)
    page.goto(page_url)
    yield page
    assert [one for one in told if not any(fault in one for fault in faults)] == []
