"""`Radiograph` -> the network's input, and heatmaps back onto the image.

`PreprocessSpec` is plain data stored in the checkpoint, so trainer, indexer, service and evaluator
share it. The input stays 8-bit grey, and normalisation is part of the network: the copy that the
indexer stores is bit for bit the network's input.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import digest_of
from xemplar.errors import CorruptArtefact
from xemplar.imaging import Radiograph


@dataclass(frozen=True)
class PreprocessSpec:
    """Parameters that turn an image into the network's input.

    Attributes:
        size: side of the square input in pixels, a multiple of 32 (DenseNet halves it five times).
        fit: "stretch" resizes both sides independently, as the poster did; "pad" keeps the aspect
            ratio and centres the image on black.
        mean: mean of each channel, for grey values in [0, 1] replicated to three channels.
        std: standard deviation of each channel. Defaults are ImageNet's, to match its weights.
    """

    size: int = 224
    fit: Literal["stretch", "pad"] = "stretch"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32 or self.fit not in ("stretch", "pad"):
            raise CorruptArtefact(
                f"preprocessing with size {self.size} and fit {self.fit!r} is not possible; size "
                "must be a positive multiple of 32 and fit one of 'stretch', 'pad'"
            )

    @cached_property  # each stored input that is read asks for it
    def digest(self) -> str:
        """sha256 of the spec's canonical JSON; equal digests produce equal inputs."""
        return digest_of(asdict(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "PreprocessSpec":
        """Read the spec from JSON, where tuples are lists.

        Raises:
            CorruptArtefact: fields are missing, unknown, or out of range.
        """
        try:
            mean, std = (tuple(float(v) for v in fields[key]) for key in ("mean", "std"))
            if len(mean) != 3 or len(std) != 3 or set(fields) != {"size", "fit", "mean", "std"}:
                raise ValueError(f"fields {sorted(fields)}, mean {mean}, std {std}")
            return cls(int(fields["size"]), fields["fit"], mean, std)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptArtefact(f"the preprocessing spec cannot be read: {error}") from error


@dataclass(frozen=True)
class InputRegion:
    """Rectangle of the square input that an image covers, in input pixels."""

    x: float
    y: float
    width: float
    height: float


def input_region(spec: PreprocessSpec, height: int, width: int) -> InputRegion:
    """Compute the region that an image of this height and width (pixels) covers in the input."""
    if spec.fit == "stretch":
        return InputRegion(0, 0, spec.size, spec.size)
    scale = spec.size / max(height, width)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    return InputRegion(
        (spec.size - inner_width) // 2, (spec.size - inner_height) // 2, inner_width, inner_height
    )


def preprocess(radiograph: Radiograph, spec: PreprocessSpec) -> npt.NDArray[np.uint8]:
    """Compute the network's input.

    Returns:
        uint8 (size, size), 0 black to 255 white. Each axis is shrunk by area averaging (no
        aliasing) or enlarged bilinearly.
    """
    pixels = radiograph.pixels
    region = input_region(spec, *pixels.shape)
    width, height = int(region.width), int(region.height)
    # shrink first: OpenCV's area interpolation does not average if either axis is enlarged
    smaller = (min(width, pixels.shape[1]), min(height, pixels.shape[0]))
    shrunk = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    inner = np.asarray(cv2.resize(shrunk, (width, height)), np.uint8)
    if (height, width) == (spec.size, spec.size):
        return inner
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    canvas[int(region.y) : int(region.y) + height, int(region.x) : int(region.x) + width] = inner
    return canvas


def onto_image(
    heatmap: npt.NDArray[np.float32], spec: PreprocessSpec, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Map a heatmap from the network's grid onto the image by bilinear interpolation.

    The centre of cell (i, j) of the g x g grid lies at ((j + 0.5) / g, (i + 0.5) / g) of the
    input; the centre of each image pixel is mapped into the input's region and interpolated there.
    Beyond the outermost cell centres the edge value is used.

    Args:
        heatmap: float32 (g, g), any range, in the frame of the network's input.
        spec: the preprocessing that made the input.
        height: height of the image (or of its display copy) in pixels.
        width: its width in pixels.

    Returns:
        float32 (height, width), in the heatmap's range and the frame of the image.
    """
    rows, columns = heatmap.shape
    region = input_region(spec, height, width)
    x = (np.arange(width, dtype=np.float32) + 0.5) * (region.width / width) + region.x
    y = (np.arange(height, dtype=np.float32) + 0.5) * (region.height / height) + region.y
    # separable: two small matrix products, exact, without cv2's fixed-point arithmetic
    across = _interpolation(x * columns / spec.size - 0.5, columns)
    down = _interpolation(y * rows / spec.size - 0.5, rows)
    image: npt.NDArray[np.float32] = down @ np.asarray(heatmap, np.float32) @ across.T
    return image


def covered(
    box: tuple[float, float, float, float], spec: PreprocessSpec, height: int, width: int, grid: int
) -> npt.NDArray[np.float64]:
    """Compute how much of each cell of the network's grid a box of the image covers.

    Args:
        box: left, top, right, bottom, as fractions of the image's width and height.
        spec: the preprocessing that made the input.
        height: height of the image (or of its display copy) in pixels.
        width: its width in pixels.
        grid: cells per side, g.

    Returns:
        float64 (g, g), 0 to 1.
    """
    left, top, right, bottom = box
    region, cells = input_region(spec, height, width), grid / spec.size
    x = [(region.x + edge * region.width) * cells for edge in (left, right)]
    y = [(region.y + edge * region.height) * cells for edge in (top, bottom)]
    return np.outer(_overlap(y[0], y[1], grid), _overlap(x[0], x[1], grid))


def _overlap(begin: float, end: float, cells: int) -> npt.NDArray[np.float64]:
    first = np.arange(cells, dtype=np.float64)
    overlap: npt.NDArray[np.float64] = np.minimum(end, first + 1) - np.maximum(begin, first)
    return overlap.clip(0, 1)


def _interpolation(positions: npt.NDArray[np.float32], cells: int) -> npt.NDArray[np.float32]:
    """Build a linear interpolation matrix (len(positions), cells), clamped at the edges."""
    positions = np.clip(positions, 0, cells - 1)
    distance = np.abs(positions[:, None] - np.arange(cells, dtype=np.float32))
    matrix: npt.NDArray[np.float32] = np.maximum(0, 1 - distance).astype(np.float32)
    return matrix
