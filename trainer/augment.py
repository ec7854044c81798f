"""Augmentation of training images, with the masks of their findings.

All geometric transforms are composed into one sampling grid and applied once, so that an image is
interpolated once, and masks move with it. With OpenCV that takes a fifth of the time of a chain of
torchvision's transforms (``python -m benchmarks.augmenting``).
"""

import cv2
import numpy as np
import numpy.typing as npt

from .augmentation import Augmentation

Pixels = npt.NDArray[np.float32]

SMOOTH = 5.0 / 224
"""Standard deviation, in sides of the image, over which elastic displacements are smoothed."""


def augment(
    image: Pixels, masks: Pixels, settings: Augmentation, generator: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Augments an image and its masks; geometric transforms are the same for both.

    Pixels from outside the image are black, and show no finding.

    Args:
        image: float32 (s, s) in [0, 1].
        masks: float32 (n, p, p) in [0, 1].
        settings: strengths and probabilities.
        generator: source of random numbers.

    Returns:
        The image and its masks, of the same shapes and ranges.
    """
    grid = _grid(settings, generator, len(image))
    moved = _sampled(image, grid)
    side = masks.shape[-1]
    coarse = np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    masks = np.stack([_sampled(mask, coarse) for mask in masks])
    moved = moved * _about_one(settings.brightness, generator)
    moved = (moved - moved.mean()) * _about_one(settings.contrast, generator) + moved.mean()
    if settings.gamma:
        power = np.exp(generator.uniform(-settings.gamma, settings.gamma))
        moved = np.clip(moved, 0, 1) ** power
    if generator.random() < settings.blur_chance and settings.blur > 0.1:
        moved = cv2.GaussianBlur(moved, (5, 5), generator.uniform(0.1, settings.blur))
    if settings.noise:
        moved = moved + generator.normal(0, generator.uniform(0, settings.noise), moved.shape)
    moved = np.clip(moved, 0, 1).astype(np.float32)
    if generator.random() < settings.erasing_chance:
        moved = erase_margins(moved, generator)
    return moved, masks


def _grid(settings: Augmentation, generator: np.random.Generator, side: int) -> Pixels:
    """Draws a sampling grid: source position (x, y) of each pixel in sides of the image, (s, s, 2).

    A random crop under an affine transform (scale, shear, rotation, translation), perhaps mirrored
    and elastically deformed.
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
    grid = np.stack([columns, rows], axis=-1) @ matrix.T + centre + crop * shift
    if generator.random() < settings.elastic_chance:
        random = generator.uniform(-1, 1, (side, side, 2)).astype(np.float32)
        # smoothed noise is the weaker the more pixels it is smoothed over: as strong as with 224
        strength = settings.elastic / (2 * 224) * side / 224
        grid += strength * cv2.GaussianBlur(random, (0, 0), SMOOTH * side)
    return np.asarray(grid, np.float32)


def _sampled(image: Pixels, grid: Pixels) -> Pixels:
    """Samples an image at a grid, bilinearly; 0 outside."""
    pixels = grid * image.shape[0] - 0.5
    found: Pixels = cv2.remap(image, pixels, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    return found


def _about_one(spread: float, generator: np.random.Generator) -> float:
    return float(generator.uniform(1 - spread, 1 + spread))


def erase_margins(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Random erasing: covers each corner with a probability of 0.6, and one margin, with a grey.

    Args:
        image: float32 (s, s).
        generator: source of random numbers.

    Returns:
        A copy; corners up to a quarter of the side are covered, a margin up to a tenth.
    """
    covered, side = image.copy(), len(image)

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
