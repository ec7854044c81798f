"""`Radiograph` -> the network's input, and a heatmap's way back onto the image.

`PreprocessSpec` is plain data, stored in the checkpoint: trainer, indexer, service and evaluator
all read that same spec. The input is kept as 8-bit grey: so the copy that the indexer stores is,
bit for bit, what the network saw, and normalising happens inside the network.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import digest_of
from xemplar.errors import CorruptArtefact
from xemplar.imaging import Radiograph


@dataclass(frozen=True)
class PreprocessSpec:
    """How an image becomes the network's input.

    Attributes:
        size: side of the square input in pixels, a multiple of 32 (DenseNet halves it five times).
        fit: "stretch" resizes both sides freely, as the poster did; "pad" keeps the aspect ratio
            and centres the image on black.
        mean: per channel, of grey values in [0, 1] replicated to three channels.
        std: per channel, likewise. The defaults are ImageNet's, so that its weights fit.
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

    @property
    def digest(self) -> str:
        """sha256 of the spec's canonical JSON: two specs with one digest give one input."""
        return digest_of(asdict(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "PreprocessSpec":
        """The spec from JSON, where tuples have become lists.

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
class Frame:
    """Where an image of (height, width) lies in the square input, in pixels of the input."""

    x: float
    y: float
    width: float
    height: float


def frame(spec: PreprocessSpec, height: int, width: int) -> Frame:
    """Placement of an image of that height and width (pixels) in the input of ``spec``."""
    if spec.fit == "stretch":
        return Frame(0, 0, spec.size, spec.size)
    scale = spec.size / max(height, width)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    return Frame(
        (spec.size - inner_width) // 2, (spec.size - inner_height) // 2, inner_width, inner_height
    )


def preprocess(radiograph: Radiograph, spec: PreprocessSpec) -> npt.NDArray[np.uint8]:
    """The network's input.

    Returns:
        uint8 (size, size), 0 black to 255 white. Each axis is shrunk by area averaging (no
        aliasing) or enlarged bilinearly.
    """
    pixels = radiograph.pixels
    place = frame(spec, *pixels.shape)
    width, height = int(place.width), int(place.height)
    # each axis for itself: OpenCV's area averaging does not average where one axis is enlarged
    smaller = (min(width, pixels.shape[1]), min(height, pixels.shape[0]))
    shrunk = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    inner = np.asarray(cv2.resize(shrunk, (width, height)), np.uint8)
    if (height, width) == (spec.size, spec.size):
        return inner
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    canvas[int(place.y) : int(place.y) + height, int(place.x) : int(place.x) + width] = inner
    return canvas


def onto_image(
    heatmap: npt.NDArray[np.float32], spec: PreprocessSpec, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Carry a heatmap from the network's grid back onto the image, bilinearly.

    The centre of cell (i, j) of the g x g grid lies at ((j + 0.5) / g, (i + 0.5) / g) of the
    input; each image pixel's centre is mapped to the input by the spec's frame and read there.
    Beyond the outermost centres the edge value holds.

    Args:
        heatmap: float32 (g, g), any range, in the frame of the network's input.
        spec: the preprocessing that made the input.
        height: of the image (or of a display copy of it), in pixels.
        width: likewise.

    Returns:
        float32 (height, width), the heatmap's range, in the frame of the image.
    """
    rows, columns = heatmap.shape
    place = frame(spec, height, width)
    x = (np.arange(width, dtype=np.float32) + 0.5) * (place.width / width) + place.x
    y = (np.arange(height, dtype=np.float32) + 0.5) * (place.height / height) + place.y
    # bilinear in each axis apart: two small matrix products, exact and free of cv2's fixed point
    across = _interpolation(x * columns / spec.size - 0.5, columns)
    down = _interpolation(y * rows / spec.size - 0.5, rows)
    image: npt.NDArray[np.float32] = down @ np.asarray(heatmap, np.float32) @ across.T
    return image


def _interpolation(places: npt.NDArray[np.float32], cells: int) -> npt.NDArray[np.float32]:
    """Linear interpolation as a matrix (len(places), cells); outside, the edge value holds."""
    places = np.clip(places, 0, cells - 1)
    distance = np.abs(places[:, None] - np.arange(cells, dtype=np.float32))
    matrix: npt.NDArray[np.float32] = np.maximum(0, 1 - distance).astype(np.float32)
    return matrix
