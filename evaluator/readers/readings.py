"""Readings of a study as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .areas import Floats

PRESENT = 50
"""Confidence from which on a reader says that the finding is present."""


@dataclass(frozen=True, eq=False)
class Readings:
    """Readings of N films by R readers in A arms; NaN where a reader did not say.

    Attributes:
        arms: their names, A.
        readers: their pseudonyms, R.
        films: case ids, N.
        truth: bool (N,), True for films with the finding.
        confidence: float64 (A, R, N), in [0, 100]: 0 surely absent, 100 surely present.
        trust: float64 (A, R, N), in [0, 100]: how far the reader relied on the cases; NaN in an arm
            without any.
        seconds: float64 (A, R, N), time that the film was looked at.
    """

    arms: Sequence[str]
    readers: Sequence[str]
    films: Sequence[str]
    truth: npt.NDArray[np.bool_]
    confidence: Floats
    trust: Floats
    seconds: Floats

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """True where the reader says that the finding is present, bool (A, R, N)."""
        return np.asarray(self.confidence >= PRESENT)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """True where that is so, bool (A, R, N)."""
        return np.asarray(self.present == self.truth)

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Films that all readers judged in all arms, bool (N,)."""
        return np.asarray(np.isfinite(self.confidence).all(axis=(0, 1)))

    def among(self, films: npt.NDArray[np.bool_]) -> "Readings":
        """Return the readings of some films, bool (N,)."""
        return Readings(
            self.arms,
            self.readers,
            [film for film, chosen in zip(self.films, films, strict=True) if chosen],
            self.truth[films],
            self.confidence[..., films],
            self.trust[..., films],
            self.seconds[..., films],
        )
