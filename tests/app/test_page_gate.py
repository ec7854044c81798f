"""Doubtful images: each doubt has its remedy, and other kinds of images are ranked on demand."""

from typing import Any

import cv2
import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.reading import SENT, needs_chromium, pictures_shown, send
from tests.images import drawn_image, encoded

pytestmark = needs_chromium


def doubted(page: Page, *doubts: str, **about: Any) -> None:
    """Let the next answer come with doubts, and with other fields of its first neighbour."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json() | {"doubts": doubts, "warnings": [f"it seems {d}" for d in doubts]}
        body["neighbours"][0] |= about
        route.fulfill(response=response, json=body)

    page.route("**/query?*", answer, times=1)


def grey(page: Page) -> float:
    """Mean grey of the query."""
    pictures_shown(page, ".query")
    mean: float = page.locator(".query img").evaluate(
        """image => {
            const canvas = document.createElement("canvas");
            Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            const red = data.filter((_, at) => at % 4 === 0);
            return red.reduce((sum, one) => sum + one, 0) / red.length;
        }"""
    )
    return mean


@pytest.mark.parametrize(
    ("doubt", "button"), [("inverted", "Invert"), ("turned_left", "Turn upright")]
)
def test_what_is_inverted_or_turned_is_asked_again_the_right_way(
    page: Page, doubt: str, button: str
) -> None:
    doubted(page, doubt)
    send(page)
    before, first = grey(page), page.url
    expect(page.locator(".warnings")).to_contain_text(f"it seems {doubt}")
    page.get_by_role("button", name=f"{button} and ask again").click()
    expect(page.locator(".query")).to_contain_text("This image was changed in the browser")
    expect(page.locator(".warnings")).to_have_count(0)
    assert page.url != first
    assert grey(page) == pytest.approx(255 - before if doubt == "inverted" else before, abs=2)
    width, height = page.locator(".query img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert (width > height) == (doubt == "turned_left")  # the image that was sent stands upright


def test_what_is_unlike_everything_indexed_is_ranked_on_demand(page: Page) -> None:
    doubted(page, "unlike")
    page.set_input_files("#file", files=[SENT])
    expect(page.locator(".gate")).to_contain_text("seems to be of another kind")
    expect(page.locator(".card")).to_have_count(0)
    page.get_by_role("button", name="Show similar cases anyway").click()
    expect(page.locator(".card")).to_have_count(5)


def test_a_refused_image_is_cropped_and_masked_and_asked_again(
    page: Page, faults: list[str]
) -> None:
    faults.append("status of 422")
    problem = '{"type": "urn:xemplar:problem:NotARadiograph", "status": 422, "detail": "a photo"}'
    headers = {"Content-Type": "application/problem+json"}

    def refused(route: Route) -> None:
        route.fulfill(status=422, body=problem, headers=headers)

    page.route("**/query?*", refused, times=1)
    page.set_input_files("#file", files=[SENT | {"buffer": encoded(drawn_image(5, 400, 400))}])
    page.get_by_role("button", name="Crop, mask or turn").click()
    dialog = page.get_by_role("dialog")
    canvas = dialog.locator("canvas")

    def drag(share: float) -> None:
        box = canvas.bounding_box()
        assert box
        page.mouse.move(box["x"] + 1, box["y"] + 1)
        page.mouse.down()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] - 1, steps=3)
        page.mouse.up()

    drag(0.5)
    size = canvas.evaluate("c => [c.width, c.height]")
    assert size[0] == pytest.approx(200, abs=5)
    assert size[1] == pytest.approx(400, abs=5)
    dialog.get_by_role("button", name="Mask a box").click()
    drag(0.5)
    masked = "c => c.getContext('2d').getImageData(10, 50, 1, 1).data[0]"
    assert canvas.evaluate(masked) == 0
    dialog.get_by_role("button", name="Undo").click()
    drag(0.5)
    dialog.get_by_role("button", name="Ask with this image").click()
    expect(page.locator(".card")).to_have_count(5)
    pictures_shown(page, ".query")
    assert page.locator(".query img").evaluate("i => i.naturalWidth") == size[0]
    assert grey(page) < 100  # the mask is in the picture that is kept


def test_text_is_masked_and_the_first_image_forgotten(page: Page, faults: list[str]) -> None:
    faults.append("status of 404")
    film = drawn_image(5, 600, 480) // 2
    cv2.putText(film, "DOE, JOHN", (30, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    page.set_input_files("#file", files=[SENT | {"buffer": encoded(film)}])
    expect(page.locator(".warnings")).to_contain_text("burnt into the picture")
    first = page.url
    page.get_by_role("button", name="Mask the text and ask again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("One area with text masked")
    expect(dialog.locator(".marker:visible")).to_have_count(1)
    dialog.get_by_role("button", name="Ask with this image").click()
    expect(page.locator(".warnings")).to_have_count(0)
    pictures_shown(page, ".query")
    masked = """image => {
        const canvas = document.createElement("canvas");
        Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(30, 25, 120, 15);
        return Math.max(...data.filter((_, at) => at % 4 === 0));
    }"""
    assert page.locator(".query img").evaluate(masked) < 20  # a JPEG is nearly black
    page.goto(first)
    expect(page.get_by_role("alert")).to_contain_text("unknown or forgotten")


def test_other_cases_of_a_patient_and_the_same_image_are_named(page: Page) -> None:
    page.locator(".gallery a").first.click()
    expect(page.locator(".card")).to_have_count(5)
    other = (page.locator(".thumbnail").last.get_attribute("data-focus") or "").split("-")[1]
    page.goto(page.url.split("#")[0])
    doubted(page, more_of_patient=[other])

    def of_one_patient(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        (film,) = body["films"]
        body["films"] += [film | {"case_id": other, "image_url": f"/cases/{other}/image"}]
        route.fulfill(response=response, json=body)

    page.route("**/timeline", of_one_patient)
    send(page)
    card = page.locator(".card").first
    card.get_by_text("+1 more of this patient").click()
    pictures_shown(page, ".others")
    expect(card.locator(".others a")).to_have_count(1)
    card.locator(".others a").click()
    expect(page.get_by_role("heading", name=f"Past case {other}")).to_be_visible()
