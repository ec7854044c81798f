"""Samples a person's anatomy and positioning from a seed."""

from dataclasses import dataclass

import numpy as np

ANATOMY, TEXTURE, NOISE, DRAW, LOCATION = range(5)
"""Random streams of a seed; those of the findings follow."""


@dataclass(frozen=True)
class Anatomy:
    """Anatomy and positioning of a person, in millimetres and radians in the patient's frame."""

    seed: int
    sex: str
    age: int
    wide: float  # midline to the inside of the chest wall, at its widest
    apex: float  # y of the tops of the lungs
    base: float  # y of the costophrenic angles
    deep: float  # half depth of the lungs
    fat: float  # under the skin
    breast: float  # radius
    ratio: float  # cardiothoracic
    domes: tuple[float, float]  # heights above `base` of the hemidiaphragms, right and left
    ribs: float  # how far a rib falls from back to front
    mineral: float  # bone density, 1 = typical
    knob: float  # radius of the aortic arch
    elbow: float  # x of the elbows
    bubble: float  # radius of the gas in the stomach
    yaw: float
    roll: float
    pitch: float
    shift: tuple[float, float]
    magnification: float


def person(seed: int) -> Anatomy:
    """Sample the person of a seed."""
    r = np.random.default_rng([seed, ANATOMY])
    female = bool(r.random() < 0.5)
    age = int(r.integers(19, 88))
    big = r.normal(0.95 if female else 1.04, 0.035)
    fat = float(np.clip(r.gamma(4, 4.0), 5, 40))
    base = r.normal(112, 9) * big
    right = r.normal(62, 5)
    return Anatomy(
        seed=seed,
        sex="F" if female else "M",
        age=age,
        wide=r.normal(136, 4) * big,
        apex=r.normal(-122, 6) * big,
        base=base,
        deep=r.normal(84, 5) * big,
        fat=fat,
        breast=(r.uniform(52, 68) + 0.5 * fat) if female else 0.0,
        ratio=float(np.clip(r.normal(0.435 + 0.0004 * (age - 50), 0.02), 0.38, 0.485)),
        domes=(right, right - r.normal(11, 4)),
        ribs=r.normal(92, 10),
        mineral=r.normal(1.12 - 0.003 * age, 0.07),
        knob=r.normal(14 + 0.07 * age, 1.2),
        elbow=r.uniform(200, 300),
        bubble=r.uniform(0, 30),
        yaw=r.normal(0, 0.035),
        roll=r.normal(0, 0.02),
        pitch=r.normal(0.1, 0.08),
        shift=(r.normal(0, 7), r.normal(-30, 8)),
        magnification=r.normal(1.03, 0.03),
    )
