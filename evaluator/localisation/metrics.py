"""Agreement of a map with a mask: pure functions of two arrays in the frame of the image.

Every function takes

- ``heatmap``: float (h, w), >= 0 and finite; only its shape matters, not its scale. A map that is
  constant, or zero everywhere, points nowhere: it is scored as the uniform map that it is.
- ``mask``: bool (h, w), at least one pixel True,

and raises `InvalidArgument` for others. Where pixels tie, the value is the expected one under a
random order of them. Values are compared as shares of the map's maximum to six digits, because
float32 interpolation leaves pixels of one height with different last digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument

DIGITS = 6

Heatmap = npt.NDArray[np.floating]
Heights = npt.NDArray[np.float64]
"""A map as shares of its maximum, see `shares`."""

Mask = npt.NDArray[np.bool_]


def pointing_game(heatmap: Heatmap, mask: Mask) -> float:
    """Share of the maximal pixels that lie in the mask, in [0, 1].

    The pointing game (Zhang et al., IJCV 2018, section 4.2) counts a hit where the map's maximum
    lies on the object; here without their tolerance of 15 pixels. This is its expected value when
    one of several maximal pixels is drawn, so a uniform map scores the mask's share of the image.
    """
    return _pointing(shares(heatmap, mask), mask)


def relevance_mass(heatmap: Heatmap, mask: Mask) -> float:
    """Relevance Mass Accuracy (Arras et al., Information Fusion 2022, equation 1), in [0, 1].

    Sum of the map in the mask over its sum everywhere; a uniform map scores the mask's share of
    the image.
    """
    return _mass(shares(heatmap, mask), mask)


def relevance_rank(heatmap: Heatmap, mask: Mask) -> float:
    """Relevance Rank Accuracy (Arras et al., Information Fusion 2022, equation 2), in [0, 1].

    Of the K highest pixels, where K is the number of pixels in the mask, the share that lies in
    it; a uniform map scores the mask's share of the image.
    """
    return _rank(shares(heatmap, mask), mask)


def overlaps(
    heatmap: Heatmap, mask: Mask, thresholds: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """IoU and Dice of {map >= t * maximum} with the mask, for each threshold t.

    Intersection over union (Jaccard, 1912) and 2 * intersection over the sum of both areas (Dice,
    Ecology 1945). A constant map is above every threshold, so it stands for the whole image.

    Args:
        heatmap: see above.
        mask: see above.
        thresholds: T shares of the maximum, ascending, in (0, 1].

    Returns:
        Two float64 (T,), in [0, 1].

    Raises:
        InvalidArgument: thresholds out of range or order, besides what is said above.
    """
    return _overlaps(shares(heatmap, mask), mask, thresholds)


@dataclass(frozen=True, eq=False)
class MaskAgreement:
    """All figures of one map and mask.

    Attributes:
        pointing: of `pointing_game`.
        mass: of `relevance_mass`.
        rank: of `relevance_rank`.
        iou: of `overlaps`, float64 (T,).
        dice: likewise.
    """

    pointing: float
    mass: float
    rank: float
    iou: npt.NDArray[np.float64]
    dice: npt.NDArray[np.float64]


def agreement(heatmap: Heatmap, mask: Mask, thresholds: Sequence[float]) -> MaskAgreement:
    """Computes all figures at once; arguments and errors as of `overlaps`."""
    heights = shares(heatmap, mask)
    iou, dice = _overlaps(heights, mask, thresholds)
    return MaskAgreement(
        _pointing(heights, mask), _mass(heights, mask), _rank(heights, mask), iou, dice
    )


def _pointing(heights: Heights, mask: Mask) -> float:
    return float(mask[heights == 1].mean())


def _mass(heights: Heights, mask: Mask) -> float:
    return float(heights[mask].sum() / heights.sum())


def _rank(heights: Heights, mask: Mask) -> float:
    count = int(mask.sum())
    lowest = np.partition(heights.ravel(), -count)[-count]
    above, tied = heights > lowest, heights == lowest
    drawn = (count - above.sum()) * (tied & mask).sum() / tied.sum()
    return float(((above & mask).sum() + drawn) / count)


def _overlaps(
    heights: Heights, mask: Mask, thresholds: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    grid = np.asarray(thresholds, np.float64)
    if grid.ndim != 1 or (np.diff(grid, prepend=0) <= 0).any() or (grid > 1).any():
        raise InvalidArgument(f"thresholds {thresholds} do not ascend within (0, 1]")
    reached = np.searchsorted(grid, heights, side="right")
    # pixels that reach n thresholds, summed from the right: pixels at or above each threshold
    area, inside = (
        np.bincount(pixels.ravel(), minlength=len(grid) + 1)[::-1].cumsum()[::-1][1:]
        for pixels in (reached, reached[mask])
    )
    both = area + mask.sum()
    return inside / (both - inside), 2 * inside / both


def shares(heatmap: Heatmap, mask: Mask) -> npt.NDArray[np.float64]:
    """The map as shares of its maximum, rounded; 1 everywhere if it is zero everywhere."""
    if heatmap.shape != mask.shape or heatmap.ndim != 2 or mask.dtype != np.bool_:
        raise InvalidArgument(
            f"a map of shape {heatmap.shape} and a mask of {mask.dtype} {mask.shape} do not fit; "
            "they must be float (h, w) and bool (h, w)"
        )
    if not mask.any():
        raise InvalidArgument("the mask is empty: there is nothing that a map could lie on")
    heights = heatmap.astype(np.float64)
    peak = heights.max()
    if not (heights.min() >= 0 and np.isfinite(peak)):  # a NaN is the minimum, too
        raise InvalidArgument("a map must be finite and nowhere below 0")
    return np.round(heights / peak, DIGITS) if peak > 0 else np.ones_like(heights)
