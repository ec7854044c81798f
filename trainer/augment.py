"""The poster's augmentations.

All changes of place are one change: where each pixel of the new film lies in the old one is worked
out first and read once, so that a film is blurred once by interpolation, and a plan moves with it.
OpenCV does the reading and smoothing: a film takes a fifth of the time that it took as a chain of
torchvision's transforms (``python -m benchmarks.augmenting``).
"""

import cv2
import numpy as np
import numpy.typing as npt

from .settings import Augmentation

Film = npt.NDArray[np.float32]

SMOOTH = 5.0 / 224
"""Standard deviation, in sides of the film, over which elastic displacements are smoothed."""


def augment(
    film: Film, plans: Film, settings: Augmentation, generator: np.random.Generator
) -> tuple[Film, Film]:
    """Random changes of a film and its plans, the same of place for both.

    What comes in from outside the film is black, and holds no finding.

    Args:
        film: float32 (s, s) in [0, 1].
        plans: float32 (n, p, p) in [0, 1].
        settings: what may change, and how much.
        generator: of random numbers.

    Returns:
        The film and its plans, of the same shapes and ranges.
    """
    places = _places(settings, generator, len(film))
    moved = _read(film, places)
    side = plans.shape[-1]
    coarse = np.asarray(cv2.resize(places, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    plans = np.stack([_read(plan, coarse) for plan in plans])
    moved = moved * _about_one(settings.brightness, generator)
    moved = (moved - moved.mean()) * _about_one(settings.contrast, generator) + moved.mean()
    if generator.random() < settings.blur_chance and settings.blur > 0.1:
        moved = cv2.GaussianBlur(moved, (5, 5), generator.uniform(0.1, settings.blur))
    moved = np.clip(moved, 0, 1).astype(np.float32)
    if generator.random() < settings.hide:
        moved = hide_edges(moved, generator)
    return moved, plans


def _places(settings: Augmentation, generator: np.random.Generator, side: int) -> Film:
    """For each pixel of the new film its place in the old one, in sides of it, (s, s, 2) as x, y.

    An affine change (size, shear, rotation, shift) of a random crop, mirrored or not and bent.
    """
    share = generator.uniform(settings.crop, 1)
    stretch = np.exp(generator.uniform(np.log(0.9), np.log(1.1)) if settings.crop < 1 else 0)
    crop = np.minimum(np.sqrt([share * stretch, share / stretch]), 1)
    centre = 0.5 + (1 - crop) * generator.uniform(-0.5, 0.5, 2)
    angle, slant = np.radians(
        [generator.uniform(-v, v) for v in (settings.rotation, settings.shear)]
    )
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ [[1, np.tan(slant)], [0, 1]] / _about_one(settings.scale, generator)
    shift = generator.uniform(-settings.translation, settings.translation, 2)
    mirror = [-1 if generator.random() < settings.flip else 1, 1]
    matrix = np.diag(crop) @ turn @ np.diag(mirror)
    middles = (np.arange(side) + 0.5) / side - 0.5
    columns, rows = np.meshgrid(middles, middles)
    places = np.stack([columns, rows], axis=-1) @ matrix.T + centre + crop * shift
    if generator.random() < settings.elastic_chance:
        random = generator.uniform(-1, 1, (side, side, 2)).astype(np.float32)
        # smoothed noise is the weaker the more pixels it is smoothed over: as strong as with 224
        strength = settings.elastic / (2 * 224) * side / 224
        places += strength * cv2.GaussianBlur(random, (0, 0), SMOOTH * side)
    return np.asarray(places, np.float32)


def _read(film: Film, places: Film) -> Film:
    """What lies at places, between pixels linearly; 0 outside."""
    pixels = places * film.shape[0] - 0.5
    read: Film = cv2.remap(film, pixels, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    return read


def _about_one(spread: float, generator: np.random.Generator) -> float:
    return float(generator.uniform(1 - spread, 1 + spread))


def hide_edges(film: Film, generator: np.random.Generator) -> Film:
    """Cover each corner with a chance of 0.6, and one margin, by black or some grey.

    Args:
        film: float32 (s, s).
        generator: of random numbers.

    Returns:
        A copy; corners up to a quarter of the side are covered, a margin up to a tenth.
    """
    covered, side = film.copy(), len(film)

    def drawn(up_to: float) -> int:
        return int(generator.integers(1, max(2, int(up_to * side))))

    def grey() -> float:
        return 0.0 if generator.random() < 0.6 else generator.random()

    for rows in (slice(None, drawn(0.25)), slice(-drawn(0.25), None)):
        for columns in (slice(None, drawn(0.25)), slice(-drawn(0.25), None)):
            if generator.random() < 0.6:
                covered[rows, columns] = grey()
    margin = drawn(0.1)
    edge = slice(None, margin) if generator.random() < 0.5 else slice(-margin, None)
    if generator.random() < 0.5:
        covered[edge] = grey()
    else:
        covered[:, edge] = grey()
    return covered
