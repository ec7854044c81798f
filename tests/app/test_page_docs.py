"""/docs in a browser: what it shows can be tried out as it stands."""

import re

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.agreement import PATIENCE
from tests.app.reading import IMAGE, needs_chromium

pytestmark = needs_chromium


@pytest.fixture
def docs(context: BrowserContext, page_url: str) -> Page:
    """/docs of a service that was asked a question before."""
    httpx2.post(f"{page_url}/query", files={"image": IMAGE}, timeout=PATIENCE).raise_for_status()
    page = context.new_page()
    page.goto(f"{page_url}/docs")
    expect(page.locator(".opblock-get").first).to_be_visible()
    return page


def executed(page: Page, operation: str) -> str:
    """The status that trying out an operation shows."""
    block = page.locator(f"[id^='operations-'][id$='-{operation}']")
    block.locator(".opblock-summary").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table tbody .response-col_status").first
    expect(status).to_have_text(re.compile(r"\d{3}"))
    return status.inner_text()[:3]


def test_what_is_shown_can_be_executed_as_it_stands(docs: Page) -> None:
    """A few of them: Swagger UI is slow. All are asked for in test_examples.py."""
    for operation in ("case", "case_overlay", "query_evidence"):
        assert executed(docs, operation) == "200"
    assert executed(docs, "remove_case") == "404"  # none that is there is offered to be removed
