"""Why a case is there: Grad-CAM of a finding or evidence of the similarity, on all images."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.app.reading import eventually, held, needs_chromium, pictures_shown, send

pytestmark = needs_chromium

LOCATION = re.compile(r"(zone|middle): (adds|takes) \d\.\d{4}$")


def coloured(page: Page, where: str) -> str:
    """What is painted over an image."""
    painted: str = page.locator(f"{where} canvas.heat").first.evaluate("c => c.toDataURL()")
    return painted


def test_a_finding_recolours_every_image_and_the_legend_names_it(page: Page) -> None:
    send(page)
    page.keyboard.press("2")
    pictures_shown(page, ".answer")
    chosen = page.locator(".finding.called[aria-pressed=false]").first
    name = chosen.locator(".name").inner_text()
    before = coloured(page, ".query"), coloured(page, ".card")
    chosen.click()
    expect(page.locator(".finding[aria-pressed=true] .name")).to_have_text(name)
    expect(page.locator(".legend")).to_contain_text(name)
    assert f"finding={name.replace(' ', '_')}" in page.url
    pictures_shown(page, ".answer")
    page.wait_for_function("document.querySelector('.card canvas.heat').width < 300")
    eventually(page, lambda: coloured(page, ".query") != before[0])
    eventually(page, lambda: coloured(page, ".card") != before[1])


def test_a_finding_that_is_not_called_has_no_map_and_the_page_says_so(page: Page) -> None:
    send(page)
    page.get_by_role("button", name="Heat map").click()
    page.locator(".finding:not(.called)").first.click()
    expect(page.locator(".legend")).to_contain_text("is called in none of the images")
    expect(page.locator(".query .caption")).to_be_empty()
    expect(page.locator(".card .note").first).to_be_empty()  # said once, not of each case
    expect(page.locator(".legend .scale")).to_be_hidden()


def test_overlays_are_made_fainter_or_left_off(page: Page) -> None:
    send(page)
    page.keyboard.press("2")
    pictures_shown(page, ".answer")
    page.wait_for_function("document.querySelector('.card canvas.heat').width < 300")
    page.get_by_label("Opacity").fill("20")
    expect(page.locator(".card canvas.heat").first).to_have_css("opacity", "0.2")
    page.get_by_role("button", name="Image", exact=True).click()
    expect(page.get_by_label("Opacity")).to_have_count(0)
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    images = page.locator("canvas.heat")
    eventually(page, lambda: not images.evaluate_all(f"all => all.some({drawn})"))


def test_the_chance_of_a_shared_finding_is_told_where_the_index_knows_it(page: Page) -> None:
    def calibrated(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        answer["neighbours"][0]["chance"] = 0.432
        answer["chance_measured_on"] = {"source": "nih14", "images": 165, "ill": 0.52}
        route.fulfill(response=response, json=answer)

    page.route("**/query?*", calibrated)
    send(page)
    expect(page.locator(".card .chance")).to_have_text(["of 100 such pairs, 43 share a finding"])
    condition = "Measured on 165 images of nih14, where 52 % show a finding."
    expect(page.locator(".cases")).to_contain_text(condition)
    expect(page.locator(".card .chance")).to_have_attribute("title", condition)


def test_the_evidence_shown_adds_up_to_the_score(page: Page) -> None:
    send(page)
    page.get_by_role("button", name="Similarity", exact=True).click()
    caption = page.locator(".query .caption")
    expect(caption).to_contain_text("add up to")
    for number in range(2):
        page.locator(".thumbnail").nth(number).hover()
        expect(caption).to_contain_text(f"case {number + 1}:")
        expect(caption).to_contain_text("add up to")
        told = re.findall(r"-?\d\.\d{4}", caption.inner_text())
        support, against, total = map(float, told)
        assert support - against == pytest.approx(total, abs=2e-4)
        shown = page.locator(".score strong").nth(number).inner_text()
        assert total == pytest.approx(float(shown), abs=0.0006)


def test_the_film_comes_first_and_the_map_while_its_key_is_held(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    drawn = """maps => maps.map(map => map.getContext('2d')
        .getImageData(0, 0, map.width, map.height).data.some(Boolean))"""
    maps = page.locator("canvas.heat")
    assert not any(maps.evaluate_all(drawn))
    page.keyboard.down("m")
    eventually(page, lambda: maps.evaluate_all(drawn)[0])
    expect(page.locator(".query .caption")).to_contain_text(
        re.compile("highest in the .*(zone|middle)")
    )
    expect(page.locator(".card .note").first).to_contain_text("highest in the")
    page.get_by_label("Contours").check()
    eventually(page, lambda: maps.first.evaluate("map => map.width") > 200)
    page.keyboard.up("m")
    eventually(page, lambda: not any(maps.evaluate_all(drawn)))
    assert "show=" not in page.url


def test_no_colour_changes_because_other_cases_are_found(page: Page) -> None:
    send(page)
    page.keyboard.press("2")
    pictures_shown(page, ".answer")
    case = page.locator(".card").first
    eventually(page, lambda: case.locator("canvas.heat").evaluate("map => map.width") < 300)
    before = coloured(page, ".query"), coloured(page, ".card")
    page.evaluate("location.hash += '&k=1'")
    expect(page.locator(".card")).to_have_count(1)
    pictures_shown(page, ".answer")
    eventually(page, lambda: (coloured(page, ".query"), coloured(page, ".card")) == before)


def test_evidence_of_another_case_leaves_what_is_pointed_at_alone(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    last = page.locator(".card").last
    case = (last.locator(".thumbnail").get_attribute("data-focus") or "").removeprefix("thumbnail-")
    waiting = held(page, f"**/matches/{case}")
    page.get_by_role("button", name="Similarity", exact=True).click()
    image, caption = page.locator(".query .radiograph"), page.locator(".query .caption")
    expect(caption).to_contain_text("add up to")
    eventually(page, lambda: bool(waiting))
    image.focus()
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text(LOCATION)
    waiting[0].continue_()
    expect(last.locator(".note")).to_be_empty()
    expect(page.locator(".query .marker")).to_be_visible()
    expect(caption).to_contain_text(LOCATION)
    expect(page.locator(".legend")).to_contain_text("looks like the chosen place")


def test_pointing_at_a_location_of_the_query_lights_up_what_matches_it(page: Page) -> None:
    send(page)
    pictures_shown(page, ".answer")
    page.get_by_role("button", name="Similarity", exact=True).click()
    image, caption = page.locator(".query .radiograph"), page.locator(".query .caption")
    expect(caption).to_contain_text("add up to")
    whole = coloured(page, ".card")
    box = image.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".query .marker")).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("looks like the chosen place")
    eventually(page, lambda: coloured(page, ".card") != whole)
    page.mouse.move(5, 5)
    expect(page.locator(".query .marker")).to_be_hidden()
    image.focus()
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text(LOCATION)
    first = caption.inner_text()
    page.keyboard.press("ArrowRight")
    expect(caption).not_to_have_text(first)
    expect(caption).to_contain_text(LOCATION)
    page.locator(".thumbnail").first.click()
    look = page.locator("dialog.compare")
    expect(look.locator(".caption")).to_contain_text("add up to")
    look.locator(".pane").first.hover()
    expect(look.locator(".marker").first).to_be_visible()
    expect(look.locator(".caption")).to_contain_text(LOCATION)
