"""Draws heatmaps over radiographs."""

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.imaging.preprocess import PreprocessSpec, onto_image

OPACITY = 0.6
"""Opacity at the map's maximum; where the map is 0, the image is unchanged."""

HOTTEST = 220
"""Level of the turbo colour map (0 to 255) for the maximum; turbo's red darkens beyond it."""

JPEG_QUALITY = 90


def shrink(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Shrink an image, uint8 (height, width), to at most ``side`` pixels on its longer side."""
    height, width = pixels.shape
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk: npt.NDArray[np.uint8] = np.asarray(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8
    )
    return shrunk


def overlay(
    pixels: npt.NDArray[np.uint8],
    heatmap: npt.NDArray[np.float32],
    spec: PreprocessSpec,
    *,
    side: int = 512,
    most: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Blend a heatmap over an image.

    Colour and opacity follow the map relative to ``most``, from blue (transparent) to bright red.
    Values of 0 or less leave the image unchanged, so a map without a positive maximum is not
    stretched.

    Args:
        pixels: uint8 (height, width), the image or its display copy.
        heatmap: float32 (g, g) in the frame of the network's input.
        spec: the preprocessing that made the input.
        side: maximum side of the result in pixels; the image is never enlarged.
        most: value shown as bright red, to give several maps one scale; None for the map's own
            maximum.

    Returns:
        uint8 (height', width', 3), RGB, in the frame of the image.
    """
    image = shrink(pixels, side)
    positive: npt.NDArray[np.float32] = np.maximum(heatmap, 0)
    peak = float(positive.max()) if most is None else most
    heat = onto_image((positive / (peak or 1)).astype(np.float32), spec, *image.shape)
    level = cv2.convertScaleAbs(heat, alpha=HOTTEST)
    colours = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    opacity = OPACITY * heat
    blended = cv2.blendLinear(
        cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), colours, 1 - opacity, opacity
    )
    return np.asarray(blended, np.uint8)


def jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    """Encode uint8 grey (height, width) or RGB (height, width, 3) as JPEG."""
    shown = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
