"""Drawing for the report: figures as PNG, and images as they look."""

import io
from collections.abc import Sequence

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xemplar.imaging.preprocess import PreprocessSpec, input_region

DPI = 110
OURS, CHANCE = "#0a6ebd", "#8a8a8a"

BOX = "#39ff14"
"""Colour of a radiologist's box: bright green occurs neither in images nor in overlays."""


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, laid out so that nothing overlaps."""
    mpl.use("Agg")
    return Figure(figsize=(width, height), layout="constrained")


def png(drawn: Figure) -> bytes:
    """The figure as a PNG file, without metadata that differs from run to run."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def image(
    inputs: npt.NDArray[np.uint8], spec: PreprocessSpec, shape: Sequence[int], side: int = 256
) -> npt.NDArray[np.uint8]:
    """Restores an image's aspect ratio from the network's input, uint8 (h, w).

    Args:
        inputs: uint8 (s, s).
        spec: the preprocessing that made it.
        shape: height and width of the image, any unit.
        side: of the picture, in pixels.
    """
    placed = input_region(spec, int(shape[0]), int(shape[1]))
    top, left = int(placed.y), int(placed.x)
    inner = inputs[top : top + int(placed.height), left : left + int(placed.width)]
    scale = side / max(shape)
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    return np.asarray(cv2.resize(inner, size, interpolation=cv2.INTER_AREA), np.uint8)


def show(axes: Axes, picture: npt.NDArray[np.uint8], title: str = "") -> None:
    """A picture without axes, grey or RGB."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()
