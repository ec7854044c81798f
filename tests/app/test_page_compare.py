"""Looking at a pair: side by side, in step, with mouse, fingers or keyboard, greys mapped."""

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import FilePayload, FloatRect, Locator, Page, expect

from tests.app.reading import eventually, needs_chromium, pictures_shown, removed, send
from tests.images import dicom, drawn_image

pytestmark = needs_chromium

PLAIN = "translate(0px, 0px) scale(1, 1)"


@dataclass(frozen=True)
class Looking:
    """A pair that is looked at; the query stands at the left.

    Attributes:
        page: where it is shown.
        dialog: over the answer.
    """

    page: Page
    dialog: Locator

    @property
    def left(self) -> FloatRect:
        """Where the query's pane lies on the screen."""
        box = self.dialog.locator(".pane").first.bounding_box()
        assert box
        return box

    def at(self, across: float, down: float) -> tuple[float, float]:
        """A point of the query's pane; both from 0 to 1."""
        return (
            self.left["x"] + across * self.left["width"],
            self.left["y"] + down * self.left["height"],
        )

    def lies(self, how: str) -> None:
        """Both images come to lie like this."""
        read = "images => images.map(f => f.style.transform)"
        images = self.dialog.locator(".pane .radiograph")
        eventually(self.page, lambda: images.evaluate_all(read) == [how, how])

    def grey(self) -> int:
        """In the middle of the query."""
        screen = self.dialog.locator("canvas.screen").first
        grey: int = screen.evaluate(
            "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0]"
        )
        return grey

    def slider(self, name: str) -> Locator:
        return self.dialog.get_by_label(name, exact=True)

    def press(self, *names: str) -> None:
        for name in names:
            self.dialog.get_by_role("button", name=name, exact=True).click()

    def type(self, keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture
def looking(page: Page) -> Looking:
    """At case 2, with both images there."""
    send(page)
    page.locator(".thumbnail").nth(1).click()
    dialog = page.locator("dialog.compare")
    expect(dialog.get_by_role("heading")).to_have_text("Query and case 2")
    expect(dialog.locator(".notice")).to_be_visible()
    pictures_shown(page, "dialog.compare")
    page.wait_for_function("document.querySelector('canvas.screen').width > 300")
    return Looking(page, dialog)


# ---- zoom and move --------------------------------------------------------------------------


def test_keys_zoom_flip_and_move_both_images_in_step(looking: Looking) -> None:
    looking.type("+f")
    looking.page.keyboard.press("ArrowRight")
    looking.lies("translate(-40px, 0px) scale(-1.25, 1.25)")
    for key in ("ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp"):
        looking.page.keyboard.press(key)
    looking.lies("translate(40px, 40px) scale(-1.25, 1.25)")
    looking.type("+-")
    looking.lies("translate(40px, 40px) scale(-1.25, 1.25)")
    looking.type("-")
    looking.lies("translate(0px, 0px) scale(-1, 1)")  # not smaller than the pane, nor off it


def test_the_wheel_zooms_about_the_pointer(looking: Looking) -> None:
    looking.page.mouse.move(*looking.at(0.75, 0.5))
    looking.page.mouse.wheel(0, -100)
    right = looking.left["width"] / 4  # of the middle; there the image stays where it was
    image = looking.dialog.locator(".pane .radiograph").first
    eventually(looking.page, lambda: "1.25" in (image.get_attribute("style") or ""))
    moved = re.findall(r"-?[\d.]+", image.get_attribute("style") or "")
    assert float(moved[0]) == pytest.approx(-right / 4, abs=0.5)
    assert float(moved[1]) == pytest.approx(0, abs=0.5)
    looking.page.mouse.wheel(0, 100)
    looking.lies(PLAIN)


def test_dragging_moves_and_with_shift_maps_the_greys(looking: Looking) -> None:
    page, before = looking.page, looking.grey()
    page.mouse.move(*looking.at(0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*(one + 30 for one in looking.at(0.5, 0.5)), steps=3)
    page.mouse.up()
    looking.lies("translate(30px, 30px) scale(1, 1)")
    page.mouse.move(*looking.at(0.5, 0.5))
    looking.lies("translate(30px, 30px) scale(1, 1)")  # let go
    page.keyboard.down("Shift")
    page.mouse.down()
    x, y = looking.at(0.5, 0.5)
    page.mouse.move(x - 100, y + 60)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(looking.slider("Window")).to_have_value("156")
    expect(looking.slider("Level")).to_have_value("68")
    looking.lies("translate(30px, 30px) scale(1, 1)")
    wanted = min(255, max(0, 255 * (before - (68 - 156 / 2)) / 156))
    eventually(page, lambda: abs(looking.grey() - wanted) <= 1)


def test_the_right_button_maps_the_greys_and_a_preset_and_its_key_do(looking: Looking) -> None:
    page = looking.page
    page.mouse.move(*looking.at(0.5, 0.5))
    page.mouse.down(button="right")
    x, y = looking.at(0.5, 0.5)
    page.mouse.move(x - 100, y + 60)
    page.mouse.up(button="right")
    expect(looking.slider("Window")).to_have_value("156")
    looking.lies(PLAIN)
    looking.dialog.get_by_label("Window preset").select_option("Lungs")
    expect(looking.slider("Window")).to_have_value("130")
    expect(looking.slider("Level")).to_have_value("75")
    looking.type("9")
    expect(looking.slider("Level")).to_have_value("180")
    looking.type("0")
    expect(looking.slider("Window")).to_have_value("256")
    expect(looking.dialog.get_by_label("Window preset")).to_have_value("full")


def test_what_is_turned_or_flipped_says_where_the_patients_sides_are(looking: Looking) -> None:
    sides = looking.dialog.locator(".pane").first.locator(".side")
    expect(sides).to_have_text(["R", "", "L", ""])  # left, top, right, bottom
    looking.type("r")
    looking.lies("translate(0px, 0px) rotate(90deg) scale(1, 1)")
    expect(sides).to_have_text(["", "R", "", "L"])
    looking.type("f")
    expect(sides).to_have_text(["", "L", "", "R"])
    expect(looking.dialog.locator(".pane[data-flipped=flipped]")).to_have_count(2)
    looking.type("llf")
    expect(sides).to_have_text(["", "L", "", "R"])


def test_one_to_one_the_magnifier_and_panes_that_move_apart(looking: Looking) -> None:
    page = looking.page
    images = looking.dialog.locator(".pane .radiograph")
    looking.press("1:1")
    scale = 600 / looking.left["height"]  # of an image that is 600 pixels high
    eventually(page, lambda: "scale(1, 1)" not in (images.first.get_attribute("style") or ""))
    shown = re.findall(r"scale\(([\d.]+)", images.first.get_attribute("style") or "")
    assert float(shown[0]) == pytest.approx(scale, rel=0.01)
    looking.press("Reset")
    looking.lies(PLAIN)
    looking.press("Magnifier")
    lens = looking.dialog.locator(".lens")
    page.mouse.move(*looking.at(0.5, 0.5))
    expect(lens.first).to_be_visible()
    expect(lens.last).to_be_visible()
    looking.type("z")
    page.mouse.move(*looking.at(0.45, 0.5))
    expect(lens.first).to_be_hidden()
    looking.dialog.get_by_label("Move together").uncheck()
    page.mouse.move(*looking.at(0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*(one + 20 for one in looking.at(0.5, 0.5)))
    page.mouse.up()
    read = "images => images.map(image => image.style.transform)"
    eventually(
        page,
        lambda: images.evaluate_all(read) == ["translate(20px, 20px) scale(1, 1)", PLAIN],
    )
    looking.dialog.get_by_label("Move together").check()
    looking.lies(PLAIN)


def test_panes_do_not_jump_from_one_mode_to_another(looking: Looking) -> None:
    panes = looking.dialog.locator(".panes")
    before = panes.bounding_box()
    for mode in ("Heat map", "Similarity", "Image"):
        looking.press(mode)
        looking.page.wait_for_timeout(200)
        assert panes.bounding_box() == before, mode


def test_on_a_phone_what_is_said_of_the_case_lies_above_the_controls(looking: Looking) -> None:
    looking.page.set_viewport_size({"width": 390, "height": 844})
    said, controls = (
        looking.page.locator(f"dialog.compare {one}") for one in ("footer", ".controls")
    )
    above, below = said.bounding_box(), controls.bounding_box()
    assert above is not None
    assert below is not None
    assert above["height"] > 100
    assert above["y"] + above["height"] <= below["y"]


def test_two_fingers_zoom(looking: Looking) -> None:
    fingers = looking.page.context.new_cdp_session(looking.page)

    def touch(kind: str, *places: float) -> None:
        x, y = looking.at(0.5, 0.5)
        points = [{"x": x + place, "y": y, "id": finger} for finger, place in enumerate(places)]
        touched: dict[str, Any] = {"type": kind, "touchPoints": points}
        fingers.send("Input.dispatchTouchEvent", touched)

    touch("touchStart", -50, 50)
    touch("touchMove", -100, 100)
    touch("touchEnd")
    image = looking.dialog.locator(".pane .radiograph").first
    eventually(looking.page, lambda: "scale(2, 2)" in (image.get_attribute("style") or ""))


def test_buttons_do_what_keys_do(looking: Looking) -> None:
    before = looking.grey()
    looking.press("Zoom in", "Zoom in", "Zoom out", "Flip", "Invert")
    looking.lies("translate(0px, 0px) scale(-1.25, 1.25)")
    eventually(looking.page, lambda: looking.grey() == 255 - before)
    looking.press("Reset")
    looking.lies(PLAIN)
    eventually(looking.page, lambda: looking.grey() == before)
    looking.press("Next case")
    expect(looking.dialog.get_by_role("heading")).to_have_text("Query and case 3")
    looking.press("Previous case", "Previous case")
    expect(looking.dialog.get_by_role("heading")).to_have_text("Query and case 1")
    looking.press("Close")
    expect(looking.dialog).to_have_count(0)
    assert "look=" not in looking.page.url


def test_j_and_k_go_through_the_cases_and_begin_again_after_the_last(looking: Looking) -> None:
    for key, case in (("k", 1), ("k", 5), ("j", 1), ("j", 2)):
        looking.type(key)
        expect(looking.dialog.get_by_role("heading")).to_have_text(f"Query and case {case}")


# ---- greys ----------------------------------------------------------------------------------


def test_a_narrow_window_leaves_black_and_white_and_i_inverts(looking: Looking) -> None:
    before = looking.grey()
    looking.type("i")
    expect(looking.dialog.get_by_role("button", name="Invert")).to_have_attribute(
        "aria-pressed", "true"
    )
    eventually(looking.page, lambda: looking.grey() == 255 - before)
    looking.type("0")
    looking.slider("Window").fill("2")
    eventually(looking.page, lambda: looking.grey() in (0, 255))


def test_letters_change_window_level_and_opacity(looking: Looking) -> None:
    changes = (("Window", "sssw", "236"), ("Level", "aad", "118"), ("Opacity", "oop", "50"))
    for name, keys, value in changes:
        looking.type(keys)
        expect(looking.slider(name), name).to_have_value(value)
    eventually(
        looking.page,
        lambda: looking.dialog.evaluate("d => d.style.getPropertyValue('--heat')") == "0.5",
    )


def distinct_greys(dialog: Locator) -> int:
    """Number of greys on the query's pane."""
    count: int = dialog.locator("canvas.screen").first.evaluate(
        """c => new Set(new Uint32Array(c.getContext('2d')
            .getImageData(0, 0, c.width, c.height).data.buffer)).size"""
    )
    return count


def test_a_narrow_window_shows_a_deep_image_without_steps(page: Page) -> None:
    smooth = cv2.GaussianBlur(drawn_image(77, 600, 450).astype(np.float32) * 16, (0, 0), 4)
    deep = np.rint(smooth).astype(np.uint16)  # values between the greys of the 8-bit image
    film = dicom(deep, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    file = FilePayload(name="film.dcm", mimeType="application/dicom", buffer=film)
    page.set_input_files("#file", files=[file])
    page.locator(".thumbnail").first.click()
    dialog = page.locator("dialog.compare")
    numbers = dialog.locator("output.window")
    expect(numbers).to_have_text(re.compile(r"^C 2,04\d W 4,09\d$"))
    dialog.get_by_label("Window preset").select_option("All values")  # they have come
    dialog.get_by_label("Window", exact=True).fill("16")
    expect(numbers).to_have_text(re.compile(r"W 25\d$"))  # of the film's own values
    eventually(page, lambda: distinct_greys(dialog) > 100)


def test_an_image_of_8_bits_is_windowed_by_its_greys(looking: Looking) -> None:
    numbers = looking.dialog.locator("output.window")
    expect(numbers).to_have_text("C 128 W 256")
    looking.slider("Window").fill("16")
    expect(numbers).to_have_text("C 128 W 16")
    eventually(looking.page, lambda: 2 < distinct_greys(looking.dialog) <= 18)
    expect(looking.dialog.get_by_role("option", name="All values")).to_have_count(0)


# ---- why ------------------------------------------------------------------------------------


def test_the_image_that_is_flipped_is_pointed_at_where_it_is_seen(looking: Looking) -> None:
    looking.press("Similarity")
    caption = looking.dialog.locator(".caption")
    expect(caption).to_contain_text("add up to")
    told: list[str] = []
    turned = "translate(0px, 0px) rotate(180deg) scale(-1, 1)"
    for across, down, keys, lies in (
        (0.4, 0.4, "", PLAIN),
        (0.6, 0.4, "f", "translate(0px, 0px) scale(-1, 1)"),
        (0.4, 0.6, "rr", turned),
    ):
        looking.type(keys)
        looking.lies(lies)
        looking.page.mouse.move(*looking.at(across, down))
        expect(caption).to_contain_text(re.compile("adds|takes"))
        told.append(caption.inner_text())
        looking.page.mouse.move(*looking.at(0.5, -0.2))
        expect(caption).to_contain_text("add up to")
    assert len(set(told)) == 1


def test_a_case_that_was_removed_meanwhile_is_said(looking: Looking, faults: list[str]) -> None:
    faults.append("status of 404")
    looking.page.route("**/matches/*", removed)
    looking.press("Similarity")
    expect(looking.dialog.locator(".caption")).to_have_text("it was removed")
    looking.press("Close")
    expect(looking.page.locator(".card .note").first).to_have_text("it was removed")
