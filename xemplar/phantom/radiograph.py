"""`phantom`: a seed and findings -> one image and the truth about it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError
from xemplar.phantom.exposure import expose, integral_of
from xemplar.phantom.frame import frame_of
from xemplar.phantom.lesion import FINDINGS, PlacedFinding, box_of, place
from xemplar.phantom.person import DRAW, TEXTURE, person
from xemplar.phantom.thorax import flesh_of, heart_of, joints, ribs, sides_of, vessels_of

_SIZES = (64, 2048)


@dataclass(frozen=True)
class Phantom:
    """A synthetic image and the truth about it.

    Attributes:
        seed: What `phantom` was called with.
        pixels: (size, size) uint8, 0 = black = air, bone bright.
        findings: What it shows, in the order of `FINDINGS`.
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
        seed: The person, how they stood, the noise, and where a lesion lies. Not negative.
        size: Pixels along each edge, 64 to 2048. The field of view does not depend on it.
        findings: Finding -> severity in (0, 1]; {} is a normal image, None draws 0 to 3 findings.

    Raises:
        ConfigurationError: an argument is outside its range, or a finding is unknown.
    """
    check(seed, size, findings or {})
    wanted = _drawn(seed) if findings is None else findings
    body = person(seed)
    frame = frame_of(body, size)
    rng = np.random.default_rng([seed, TEXTURE])
    vessels, flesh = vessels_of(frame, rng), flesh_of(frame, rng)
    bone = ribs(frame) + joints(frame)
    sides = sides_of(frame, heart_of(frame, body.ratio), vessels)
    normal = integral_of(flesh, bone, sides)
    placed = []
    if severity := wanted.get("Cardiomegaly"):
        heart = heart_of(frame, 0.53 + 0.16 * severity)
        sides = sides_of(frame, heart, vessels)
        placed.append(PlacedFinding("Cardiomegaly", severity, box_of(heart)))
    after, lesions = place(frame, sides, wanted)
    placed = sorted(placed + lesions, key=lambda p: p.finding)
    pixels = expose(frame, integral_of(flesh, bone, after), normal)
    thorax = 2 * body.wide / frame.mm
    return Phantom(seed, pixels, tuple(placed), body.sex, body.age, "PA", frame.mm, thorax)


def _drawn(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, DRAW])
    count = rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))
    names = rng.choice(FINDINGS, count, replace=False)
    return {str(name): rng.uniform(0.15, 1) for name in names}


def check(seed: int, size: int, findings: Mapping[str, float]) -> None:
    """Refuse arguments outside their range; ConfigurationError says which."""
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
