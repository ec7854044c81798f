"""Radiologists' boxes: where on a film a finding lies."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box:
    """A rectangle around a finding, in shares of the film's width and height.

    Attributes:
        label: as the box file writes it.
        finding: output of the checkpoint whose map is held against it.
        left: in [0, 1), from the left edge of the film.
        top: in [0, 1), from its upper edge.
        right: in (left, 1].
        bottom: in (top, 1].
        reader: who drew it, such as "RSNA 2018"; empty where unknown.
    """

    label: str
    finding: str
    left: float
    top: float
    right: float
    bottom: float
    reader: str = ""

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The pixels whose centres lie in the box, bool (height, width)."""
        x = (np.arange(width) + 0.5) / width
        y = (np.arange(height) + 0.5) / height
        across = (self.left <= x) & (x < self.right)
        down = (self.top <= y) & (y < self.bottom)
        return down[:, None] & across[None]
