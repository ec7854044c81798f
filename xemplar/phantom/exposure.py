"""From what lies in the beam to grey values: attenuation, detector, noise, display."""

from collections.abc import Sequence

import cv2
import numpy as np

from xemplar.phantom.frame import Canvas, Frame, Map
from xemplar.phantom.person import NOISE
from xemplar.phantom.thorax import Side

_WATER, _BONE = 0.021, 0.052  # attenuation of a chest beam, 1/mm


def integral_of(flesh: Map, bone: Map, sides: Sequence[Side]) -> Map:
    """Attenuation along each ray, (size, size), without unit."""
    water = flesh + sum(side.held - side.room for side in sides)
    return np.asarray(_WATER * np.maximum(water, 0) + _BONE * bone)


def expose(frame: Frame, integral: Map, normal: Map) -> Canvas:
    """Attenuation to grey values: detector blur, quantum noise, display.

    The window is that of the normal image, and the noise is one field for every image of the seed:
    where there is no lesion, nothing changes.
    """
    rng = np.random.default_rng([frame.body.seed, NOISE])
    body = normal[:: frame.size // 64, :: frame.size // 64]
    low, high = (float(v) for v in np.percentile(body[body > 0.6], (3, 90)))
    quanta, gain, slope = rng.uniform(130, 320), rng.uniform(0.93, 1.12), rng.uniform(2.0, 2.8)
    seen = cv2.GaussianBlur(integral, (0, 0), max(0.4, 0.45 / frame.mm))
    # So many quanta that their Poisson counts are normal; the deviation is that of the logarithm.
    field = rng.standard_normal(seen.shape, np.float32)
    seen = seen + field * np.exp(seen / 2) / (quanta * frame.mm)
    dark = 0.82 * low / high
    t = np.maximum(seen, 0) * (gain / high)
    t = np.maximum((t - dark) / (1 - dark), 0) + 0.08 * np.minimum(t / dark, 1)
    return (250 * (1 - np.exp(-slope * t**1.75))).astype(np.uint8)
