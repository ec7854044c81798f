"""The page (heat.js) and the service (overlay.py) draw a map alike: colours, geometry, opacity."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import xemplar_app

from xemplar.imaging.overlay import HOTTEST
from xemplar.imaging.preprocess import PreprocessSpec, input_region, onto_image

HEAT_JS = Path(xemplar_app.__file__).with_name("page") / "heat.js"

LEVELS_APART = 3
"""Largest difference of heat.js, which interpolates between 23 colours, from turbo's table."""

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
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@needs_node
def test_colours_are_those_of_the_overlays() -> None:
    levels = np.arange(HOTTEST + 1, dtype=np.uint8)
    mapped = cv2.applyColorMap(levels[None], cv2.COLORMAP_TURBO)[0]
    turbo = mapped[:, ::-1].astype(int)  # OpenCV's order is blue, green, red
    page = run("return given.shares.map(heat.colour)", shares=[*(levels / HOTTEST)])
    assert np.abs(turbo - np.asarray(page)).max() <= LEVELS_APART


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


@needs_node
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_map_is_interpolated_and_made_opaque_alike(
    fit: Literal["stretch", "pad"], height: int, width: int
) -> None:
    grid = np.random.default_rng(3).uniform(0, 1, (7, 7)).astype(np.float32)
    share = onto_image(grid / grid.max(), PreprocessSpec(fit=fit), height, width)
    painted = run(
        """
        const canvas = { getContext: () => ({
          createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
          putImageData: (image) => { canvas.image = image; },
        }) };
        heat.paint(canvas, given.grid, given.most, given.fit, given.width, given.height);
        return { width: canvas.width, height: canvas.height, pixels: [...canvas.image.data] };
        """,
        grid=grid.tolist(),
        most=float(grid.max()),
        fit=fit,
        width=width,
        height=height,
    )
    assert (painted["height"], painted["width"]) == (height, width)
    opacity = np.reshape(painted["pixels"], (height, width, 4))[..., 3] / 255
    # 8 bits of opacity; and of the padding, whole pixels of the input, 32 to a cell of the map
    apart = 0.51 / 255 + (1 / 32 if fit == "pad" else 0)
    assert np.abs(opacity - np.clip(share, 0, 1)).max() <= apart
