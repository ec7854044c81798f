"""`phantom`: makes an image with its ground truth from a seed and findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError
from xemplar.phantom.grid import Canvas, Map, ProjectionGrid, grid_of
from xemplar.phantom.lesion import FINDINGS, PlacedFinding, add_lesions, box_of
from xemplar.phantom.person import DRAW, NOISE, TEXTURE, person
from xemplar.phantom.thorax import Side, flesh_of, heart_of, joints, ribs, sides_of, vessels_of

_SIZES = (64, 2048)

_WATER, _BONE = 0.021, 0.052  # attenuation of a chest beam, 1/mm


@dataclass(frozen=True)
class Phantom:
    """A synthetic image and its ground truth.

    Attributes:
        seed: Seed passed to `phantom`.
        pixels: (size, size) uint8, 0 = black = air, bone bright.
        findings: Lesions that it shows, in the order of `FINDINGS`.
        sex: "F" or "M".
        age: Years.
        view: "PA".
        pixel_mm: Millimetres in the patient per pixel.
        thorax_width: Largest inner width of the thorax in pixels: the heart's width divided by it
            is the cardiothoracic ratio.
    """

    seed: int
    pixels: npt.NDArray[np.uint8]
    findings: tuple[PlacedFinding, ...]
    sex: str
    age: int
    view: str
    pixel_mm: float
    thorax_width: float


def phantom(seed: int, *, size: int = 320, findings: Mapping[str, float] | None = None) -> Phantom:
    """Make a synthetic PA image; the same arguments give the same image.

    Args:
        seed: Determines the person, positioning, noise, and lesion positions. Not negative.
        size: Pixels along each edge, 64 to 2048. The field of view does not depend on it.
        findings: Finding -> severity in (0, 1]; {} is a normal image, None draws 0 to 3 findings.

    Raises:
        ConfigurationError: an argument is outside its range, or a finding is unknown.
    """
    check(seed, size, findings or {})
    wanted = _drawn(seed) if findings is None else findings
    body = person(seed)
    grid = grid_of(body, size)
    rng = np.random.default_rng([seed, TEXTURE])
    vessels, flesh = vessels_of(grid, rng), flesh_of(grid, rng)
    bone = ribs(grid) + joints(grid)
    sides = sides_of(grid, heart_of(grid, body.ratio), vessels)
    normal = integral_of(flesh, bone, sides)
    placed = []
    if severity := wanted.get("Cardiomegaly"):
        heart = heart_of(grid, 0.53 + 0.16 * severity)
        sides = sides_of(grid, heart, vessels)
        placed.append(PlacedFinding("Cardiomegaly", severity, box_of(heart)))
    after, lesions = add_lesions(grid, sides, wanted)
    placed = sorted(placed + lesions, key=lambda p: p.finding)
    pixels = expose(grid, integral_of(flesh, bone, after), normal)
    thorax = 2 * body.wide / grid.mm
    return Phantom(seed, pixels, tuple(placed), body.sex, body.age, "PA", grid.mm, thorax)


def _drawn(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, DRAW])
    count = rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))
    names = rng.choice(FINDINGS, count, replace=False)
    return {str(name): rng.uniform(0.15, 1) for name in names}


def check(seed: int, size: int, findings: Mapping[str, float]) -> None:
    """Check that arguments are in range; raises ConfigurationError if not."""
    if seed < 0:
        raise ConfigurationError(f"seed {seed} is negative; use 0 or more")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise ConfigurationError(f"size {size} is outside {_SIZES[0]} to {_SIZES[1]} pixels")
    for finding, severity in findings.items():
        if finding not in FINDINGS:
            known = ", ".join(FINDINGS)
            raise ConfigurationError(f"no phantom shows {finding!r}; choose from {known}")
        if not 0 < severity <= 1:
            raise ConfigurationError(
                f"severity {severity} of {finding} is outside (0, 1]; leave it out for none"
            )


def integral_of(flesh: Map, bone: Map, sides: Sequence[Side]) -> Map:
    """Integrate attenuation along each ray, (size, size), dimensionless."""
    water = flesh + sum(side.held - side.room for side in sides)
    return np.asarray(_WATER * np.maximum(water, 0) + _BONE * bone)


def expose(grid: ProjectionGrid, integral: Map, normal: Map) -> Canvas:
    """Convert attenuation to grey values: detector blur, quantum noise, display.

    The window is that of the normal image, and all images of a seed share one noise field, so that
    pixels without a lesion are identical.
    """
    rng = np.random.default_rng([grid.body.seed, NOISE])
    body = normal[:: grid.size // 64, :: grid.size // 64]
    low, high = (float(v) for v in np.percentile(body[body > 0.6], (3, 90)))
    quanta, gain, slope = rng.uniform(130, 320), rng.uniform(0.93, 1.12), rng.uniform(2.0, 2.8)
    seen = cv2.GaussianBlur(integral, (0, 0), max(0.4, 0.45 / grid.mm))
    # enough quanta for Poisson counts to be normal; the deviation is that of the logarithm
    field = rng.standard_normal(seen.shape, np.float32)
    seen = seen + field * np.exp(seen / 2) / (quanta * grid.mm)
    dark = 0.82 * low / high
    t = np.maximum(seen, 0) * (gain / high)
    t = np.maximum((t - dark) / (1 - dark), 0) + 0.08 * np.minimum(t / dark, 1)
    return (250 * (1 - np.exp(-slope * t**1.75))).astype(np.uint8)
