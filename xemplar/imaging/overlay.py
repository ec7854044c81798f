"""Draws heatmaps over radiographs."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.imaging.display import size_within
from xemplar.imaging.preprocess import PreprocessSpec, onto_image

OPACITY = 0.6
"""Opacity at the map's maximum; where the map is 0, the image is unchanged."""

HOTTEST = 180
"""Level of the inferno colour map (0 to 255) for the top of the scale, an orange; see
docs/decisions/0046. The yellows beyond it are lost on bright bone."""

JPEG_QUALITY = 90


def shrink(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Shrink an image, uint8 (height, width), to at most ``side`` pixels on its longer side."""
    height, width = size_within(pixels.shape[0], pixels.shape[1], side)
    if (height, width) == pixels.shape:
        return pixels
    shrunk = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def overlay(
    pixels: npt.NDArray[np.uint8],
    heatmap: npt.NDArray[np.float32],
    spec: PreprocessSpec,
    *,
    side: int = 512,
    most: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Blend a heatmap over an image.

    Colour and opacity follow the map relative to ``most``, from black (transparent) to orange.
    Values of 0 or less leave the image unchanged, so a map without a positive maximum is not
    stretched.

    Args:
        pixels: uint8 (height, width), the image or its display copy.
        heatmap: float32 (g, g) in the frame of the network's input.
        spec: the preprocessing that made the input.
        side: maximum side of the result in pixels; the image is never enlarged.
        most: value from which on a location is shown in the brightest colour, so that several maps
            have one scale; None for the map's own maximum.

    Returns:
        uint8 (height', width', 3), RGB, in the frame of the image.
    """
    image = shrink(pixels, side)
    positive: npt.NDArray[np.float32] = np.maximum(heatmap, 0)
    peak = float(positive.max()) if most is None else most
    share = np.minimum(positive / (peak or 1), 1).astype(np.float32)
    heat = onto_image(share, spec, *image.shape)
    pairs = cv2.merge((image, _levels(heat))).view("<u2")[..., 0]
    blended = np.take(_blends(), pairs).view(np.uint8).reshape(*image.shape, 4)
    return np.asarray(cv2.cvtColor(blended, cv2.COLOR_RGBA2RGB), np.uint8)


@cache
def _blends() -> npt.NDArray[np.uint32]:
    """Blend each grey value with the colour of each level of heat, once.

    Looked up for each pixel, this takes a fifth of the time of blending float pictures.

    Returns:
        uint32 (256 * (HOTTEST + 1),), at ``256 * level + grey`` the bytes red, green, blue, 0.
    """
    share = np.arange(HOTTEST + 1, dtype=np.float32) / np.float32(HOTTEST)
    opacity = OPACITY * share[:, None, None]
    grey = np.arange(256, dtype=np.float32)[None, :, None]
    colours = heat_colours(share[None])[0][:, None]
    blended = np.zeros((HOTTEST + 1, 256, 4), np.uint8)
    blended[..., :3] = np.rint(grey * (1 - opacity) + colours * opacity)
    return blended.view(np.uint32).ravel()


def heat_colours(share: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour shares of a scale, float32 (height, width) in [0, 1]: uint8 (height, width, 3), RGB.

    Matplotlib's inferno up to `HOTTEST`: the lighter, the more. The page has the same (heat.js).
    """
    coloured = cv2.applyColorMap(_levels(share), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def _levels(share: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Round shares of a scale, (height, width) in [0, 1], to levels from 0 to `HOTTEST`."""
    return np.asarray(cv2.convertScaleAbs(share, alpha=HOTTEST), np.uint8)


def jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    """Encode uint8 grey (height, width) or RGB (height, width, 3) as JPEG."""
    shown = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
