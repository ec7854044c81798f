"""From a case that is looked at to its study in the hospital's viewer."""

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.reading import needs_chromium, send

pytestmark = needs_chromium

CASE = re.compile(r"/cases/[0-9a-f]{16}$")
LINK = "https://viewer.example/viewer?StudyInstanceUIDs=1.2.3"


def look(page: Page, viewer_url: str | None) -> None:
    """Look at the first case, whose study the service leads to."""

    def answer(route: Route) -> None:
        said = route.fetch().json() | {"viewer_url": viewer_url}
        route.fulfill(body=json.dumps(said), content_type="application/json")

    send(page)
    page.route(CASE, answer)
    with page.expect_response(CASE):
        page.locator(".card .thumbnail").first.click()


@pytest.mark.parametrize("viewer_url", [LINK, None])
def test_a_case_leads_to_its_study_if_the_service_does(page: Page, viewer_url: str | None) -> None:
    look(page, viewer_url)
    dialog = page.locator("dialog.compare")
    expect(dialog).to_be_visible()
    link = dialog.get_by_text("Open in viewer")
    if viewer_url is None:
        expect(link).to_be_hidden()
        return
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", LINK)
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(link).to_have_attribute("target", "_blank")
