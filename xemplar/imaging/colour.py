"""Colour to grey: accepts equal channels and, with a warning, a tint; rejects photographs."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xemplar.errors import NotARadiograph
from xemplar.imaging.radiograph import ROWS

Pixels = npt.NDArray[Any]

LUMA = (19_595, 38_470, 7_471)
"""Weights of red, green and blue, in units of 1/65,536."""

GREY_SPREAD = 12.0
"""Mean channel difference (of 255) up to which an image counts as grey."""

TINT_SPREAD = 64.0
"""Mean channel difference (of 255) beyond which the colour cannot be a tint."""

TINT_REMAINDER = 12.0
"""Mean channel difference (of 255) that may remain once the tint is removed."""


def to_grey(channels: Pixels) -> tuple[Pixels, tuple[str, ...]]:
    """Convert colour to grey.

    Args:
        channels: uint8 or uint16 (height, width, 3), RGB.

    Returns:
        The grey image (height, width) of the same dtype, and a warning if a tint was removed.

    Raises:
        NotARadiograph: a colour photograph.
    """
    top = 255 if channels.dtype == np.uint8 else 2 ** int(channels.max()).bit_length() - 1
    sample = _sample(channels) * (255 / max(top, 1))
    differing = spread(sample)
    if differing <= GREY_SPREAD:
        return _luma(channels), ()
    remainder = spread(_untinted(sample))
    if differing > TINT_SPREAD or remainder > TINT_REMAINDER:
        raise NotARadiograph(
            f"the picture is in colour (channels differ by {differing:.0f} of 255 on average, "
            f"and by {remainder:.0f} without an even tint; the limits are {TINT_SPREAD:.0f} and "
            f"{TINT_REMAINDER:.0f}); a radiograph is grey"
        )
    return _luma(channels), (
        f"the picture is tinted (channels differ by {differing:.0f} of 255 on average), as the "
        "photograph of an image is; it was taken as grey",
    )


def _luma(channels: Pixels) -> Pixels:
    """ITU-R BT.601 luma in Pillow's integer arithmetic, which leaves equal channels unchanged."""
    if channels.dtype == np.uint8:
        return np.asarray(Image.fromarray(channels).convert("L"))
    grey = np.empty(channels.shape[:2], np.uint16)
    for first in range(0, len(grey), ROWS):
        rows = channels[first : first + ROWS].astype(np.uint32)
        luma = sum(rows[..., channel] * weight for channel, weight in enumerate(LUMA))
        grey[first : first + ROWS] = (luma + 0x8000) >> 16
    return grey


def _sample(channels: Pixels) -> Pixels:
    step = max(1, int((channels.shape[0] * channels.shape[1] / 65_536) ** 0.5))
    return channels[::step, ::step].astype(np.float32)


def spread(channels: Pixels) -> float:
    """Mean difference between the largest and the smallest channel of each pixel."""
    channels = _sample(channels)
    return float((channels.max(axis=2) - channels.min(axis=2)).mean())


def _untinted(channels: Pixels) -> Pixels:
    """Subtract from each channel its prediction from the mean of all channels.

    The tint of a light source, a film base or a screen is a smooth function of grey, modelled here
    as a cubic; the residual is true colour.
    """
    flat = channels.reshape(-1, 3).astype(np.float64) / 255
    mean = flat.mean(axis=1)
    powers = np.stack([mean**power for power in range(4)], axis=1)
    predicted = powers @ np.linalg.lstsq(powers, flat, rcond=None)[0]
    return np.asarray((flat - predicted).reshape(channels.shape) * 255)
