"""The page (heat.js) and the service (overlay.py) draw a map alike: colours, geometry, opacity."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import xemplar_app

from tests.agreement import PATIENCE
from xemplar.imaging.overlay import OPACITY, heat_colours
from xemplar.imaging.preprocess import PreprocessSpec, input_region, onto_image

HEAT_JS = Path(xemplar_app.__file__).with_name("page") / "heat.js"

LEVELS_APART = 3
"""Largest difference of heat.js, which interpolates between 19 colours, from inferno's table."""

SHAPES = [(160, 160), (160, 97), (61, 160)]
"""Height and width; heat.js paints 160 pixels on the longer side."""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def run(code: str, **given: Any) -> Any:
    """Run JavaScript, with heat.js as ``heat``, and return what it returns."""
    script = f"""
        const heat = await import({json.dumps(HEAT_JS.as_uri())});
        const given = {json.dumps(given)};
        const answer = (() => {{ {code} }})();
        console.log(JSON.stringify(answer));
    """
    command = ["node", "--no-warnings", "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)


@needs_node
def test_colours_are_those_of_the_overlays() -> None:
    shares = np.linspace(0, 1, 181, dtype=np.float32)
    page = run("return given.shares.map(heat.colour)", shares=shares.tolist())
    service = heat_colours(shares[None])[0].astype(int)
    assert np.abs(service - np.asarray(page)).max() <= LEVELS_APART


@needs_node
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize(("height", "width"), [*SHAPES, (2544, 3056), (1, 4000)])
def test_an_image_lies_in_the_same_area_of_the_input(
    fit: Literal["stretch", "pad"], height: int, width: int
) -> None:
    spec = PreprocessSpec(fit=fit)
    area = input_region(spec, height, width)
    page = run("return heat.frame(...given.image)", image=[fit, width, height])
    # preprocess resizes to whole pixels, so the frames may differ by one pixel of the input
    for name in ("x", "y", "width", "height"):
        assert page[name] * spec.size == pytest.approx(getattr(area, name), abs=1), name


def painted(grid: npt.NDArray[np.float32], fit: str, shape: tuple[int, int], **how: Any) -> Any:
    """Paint a map as the page does, its maximum at the top of the scale: uint8 (h, w, 4)."""
    one = run(
        """
        const canvas = { getContext: () => ({
          createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
          putImageData: (image) => { canvas.image = image; },
        }) };
        heat.paint(canvas, given.grid, given.most, given.fit, ...given.size, given.lines);
        return { size: [canvas.height, canvas.width], pixels: [...canvas.image.data] };
        """,
        **{"grid": grid.tolist(), "most": float(grid.max()), "fit": fit, "lines": 0} | how,
        size=shape[::-1],
    )
    return np.reshape(one["pixels"], (*one["size"], 4))


@needs_node
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_map_is_interpolated_and_made_opaque_alike(
    fit: Literal["stretch", "pad"], shape: tuple[int, int]
) -> None:
    grid = np.random.default_rng(3).uniform(0, 1, (7, 7)).astype(np.float32)
    share = onto_image(grid / grid.max(), PreprocessSpec(fit=fit), *shape)
    opacity = painted(grid, fit, shape)[..., 3] / 255
    assert opacity.shape == shape
    # 8 bits of opacity; and of the padding, whole pixels of the input, 32 to a cell of the map
    apart = 0.51 / 255 + (1 / 32 if fit == "pad" else 0)
    assert np.abs(opacity - np.clip(share, 0, 1)).max() <= apart


@needs_node
def test_contours_leave_the_film_free_between_the_quarters_of_the_scale() -> None:
    grid = np.tile(np.linspace(0, 1, 7, dtype=np.float32), (7, 1))
    opacity = painted(grid, "stretch", (640, 640), lines=640)[..., 3]
    (columns,) = np.nonzero(opacity[0])
    assert set(np.unique(opacity)) == {0, 255}
    assert (opacity == opacity[0]).all()
    # the scale rises from the middle of the first cell to that of the last
    assert (columns / 640 * 7 - 0.5) / 6 == pytest.approx(
        [0.25, 0.25, 0.5, 0.5, 0.75, 0.75], abs=0.01
    )


# ---- colours --------------------------------------------------------------------------------

SEEN_AS = {
    "all colours": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
"""Linear RGB as it is seen (Machado, Oliveira & Fernandes, IEEE TVCG 2009, severity 1)."""

NOTICED = 2.3
"""Just noticeable difference in CIELAB (Mahy et al., 1994)."""


def seen(colours: npt.NDArray[np.float64], matrix: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """CIELAB (n, 3) of sRGB colours (n, 3) in [0, 1], as somebody with that matrix sees them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    mixed = np.clip(linear @ np.transpose(matrix), 0, 1)
    back = np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(back[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]


def test_the_scale_only_gets_lighter() -> None:
    colours = heat_colours(np.linspace(0, 1, 181, dtype=np.float32)[None])[0] / 255
    assert (np.diff(seen(colours, np.eye(3))[:, 0]) >= 0).all()


@pytest.mark.parametrize("eyes", SEEN_AS)
@pytest.mark.parametrize("grey", [0, 40, 90, 140, 190, 230])
def test_the_hottest_place_is_the_most_visible_one_to_everybody(eyes: str, grey: int) -> None:
    share = np.linspace(0, 1, 101, dtype=np.float32)
    film = np.full((101, 3), grey / 255)
    opacity = (OPACITY * share)[:, None]
    blended = film * (1 - opacity) + heat_colours(share[None])[0] / 255 * opacity
    apart = np.linalg.norm(seen(blended, SEEN_AS[eyes]) - seen(film, SEEN_AS[eyes]), axis=1)
    assert apart[-1] > 10 * NOTICED
    assert apart[-1] >= apart.max() - NOTICED
