"""Before a search: is this a film like those that are indexed, upright and not inverted?

Thumbnails of the indexed films are described by a Gaussian of few directions (probabilistic PCA:
Tipping & Bishop, J. R. Statist. Soc. B 61, 1999). A new film is looked at in eight ways, turned by
quarters and inverted; the one that is most like the indexed films should be the one that came.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.errors import NotARadiograph

SIDE = 32
"""Of a thumbnail in pixels: enough for lungs, heart, shoulders and diaphragm."""

DIRECTIONS = 16
FEWEST = 100
"""Films that a doorkeeper needs: with fewer it could not tell a rare film from none."""

MOST = 500
"""Films that a doorkeeper is made from; more do not change what it says."""

USUAL = 0.995
"""Share of the indexed films that are usual; a film beyond is called unlike them."""

SURELY_NOT = 3.0
"""A film so many times beyond the usual is none: photographs and pages lie there."""

TURNED = ("", "a quarter turn clockwise", "upside down", "a quarter turn anticlockwise")


@dataclass(frozen=True)
class Verdict:
    """What the doorkeeper says of a film.

    Attributes:
        distance: from the indexed films, mean square in standard deviations: about 1 for one of
            them.
        warnings: sentences for whoever sent it; empty for a film as it should be.
        refused: whether it surely is no film of the kind that is indexed.
    """

    distance: float = 1.0
    warnings: tuple[str, ...] = ()
    refused: bool = False

    def admitted(self) -> tuple[str, ...]:
        """The warnings of a film that is let in.

        Raises:
            NotARadiograph: it is not.
        """
        if self.refused:
            raise NotARadiograph(
                f"this is no film of the kind that is indexed here: {'; '.join(self.warnings)}"
            )
        return self.warnings


@dataclass(frozen=True, eq=False)
class Doorkeeper:
    """Knows what the indexed films look like from afar.

    Attributes:
        mean: float64 (SIDE * SIDE,), of their thumbnails, each of mean 0 and variance 1.
        directions: float64 (SIDE * SIDE, p), orthonormal, along which they differ most.
        spread: float64 (p,), variances along these.
        rest: variance along any other direction.
        usual: distance that `USUAL` of them do not exceed.
    """

    mean: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    rest: float
    usual: float

    @classmethod
    def of(cls, inputs: npt.NDArray[np.uint8]) -> Self | None:
        """Learn from network inputs of indexed films, uint8 (n, s, s); None if they are too few.

        Raises:
            ValueError: another shape.
        """
        if inputs.ndim != 3:
            raise ValueError(f"inputs must be (n, s, s), not {inputs.shape}")
        if len(inputs) < FEWEST:
            return None
        thumbnails = np.stack([_thumbnail(one) for one in inputs])
        # the usual distance is that of films which a doorkeeper has not seen
        halves = thumbnails[::2], thumbnails[1::2]
        unseen = [cls._fitted(a, 0.0)._distances(b) for a, b in (halves, halves[::-1])]
        return cls._fitted(thumbnails, float(np.quantile(np.concatenate(unseen), USUAL)))

    @classmethod
    def _fitted(cls, thumbnails: npt.NDArray[np.float64], usual: float) -> Self:
        mean = thumbnails.mean(axis=0)
        _, singular, rows = np.linalg.svd(thumbnails - mean, full_matrices=False)
        variances = singular**2 / (len(thumbnails) - 1)
        rest = variances[DIRECTIONS:].sum() / (SIDE * SIDE - DIRECTIONS)
        # films that are all alike leave no variance; a thousandth of a thumbnail's own is no harm
        return cls(
            mean,
            rows[:DIRECTIONS].T,
            np.maximum(variances[:DIRECTIONS], 1e-3),
            max(float(rest), 1e-3),
            usual,
        )

    def judge(self, inputs: npt.NDArray[np.uint8]) -> Verdict:
        """Look at one film, as the network will see it: uint8 (s, s)."""
        thumbnail = _thumbnail(inputs).reshape(SIDE, SIDE)
        # a film that came turned clockwise is put right by turning it back
        ways = [sign * np.rot90(thumbnail, turn) for sign in (1, -1) for turn in range(4)]
        distances = self._distances(np.stack([way.ravel() for way in ways]))
        inverted, turned = divmod(int(distances.argmin()), 4)
        distance, nearest = float(distances[0]), float(distances.min())
        if nearest > SURELY_NOT * self.usual:
            times = nearest / self.usual
            reason = f"the picture is {times:.0f} times as far from the indexed films as usual ones"
            return Verdict(distance, (reason,), refused=True)
        warnings = []
        if turned:
            warnings.append(f"the film seems to lie {TURNED[turned]}; it was not turned back")
        if inverted:
            warnings.append("the film seems to be inverted, bones dark; it was not turned back")
        if nearest > self.usual:
            warnings.append("the film is unlike the indexed films; similar cases may be none")
        return Verdict(distance, tuple(warnings))

    def _distances(self, thumbnails: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Mahalanobis distance squared over the number of pixels, (n,)."""
        apart = thumbnails - self.mean
        along = apart @ self.directions
        across = (apart**2).sum(axis=1) - (along**2).sum(axis=1)
        found: npt.NDArray[np.float64] = (along**2 / self.spread).sum(axis=1) + across / self.rest
        return found / (SIDE * SIDE)


def _thumbnail(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(SIDE * SIDE,) of mean 0 and variance 1, so that exposure and contrast do not matter."""
    small = cv2.resize(inputs, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    values: npt.NDArray[np.float64] = small.ravel() - small.mean()
    return values / max(float(np.sqrt((values**2).mean())), 1e-6)
