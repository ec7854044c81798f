"""`Gaussian`: how far a sample lies from others of a kind, and what is usual among these."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

DIRECTIONS = 12

USUAL = 3.4
"""Standard deviations of the logarithm of an unseen sample's distance, above the mean, up to which
it is usual: all but 1 in 3,000, were it normal."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian of few directions (probabilistic PCA: Tipping & Bishop, J. R. Stat. Soc. B 1999).

    Attributes:
        mean: float64 (d,).
        scale: float64 (d,), standard deviation of each number: all count alike.
        directions: float64 (d, p), orthonormal, along which scaled samples differ most; 0 where
            samples differ along fewer.
        spread: float64 (p,), variances along these.
        rest: float64 (), variance along any other direction.
        usual: float64 (), root mean square distance that samples usually keep to.
    """

    mean: Vector
    scale: Vector
    directions: Vector
    spread: Vector
    rest: Vector
    usual: Vector

    @classmethod
    def of(cls, samples: Vector) -> Self:
        """Fit to samples, (n, d). What is usual is found out with those that a fit has not seen."""
        halves = samples[::2], samples[1::2]
        unseen = [cls._fitted(a, 1.0).distances(b) for a, b in (halves, halves[::-1])]
        # the logarithms of distances are nearly normal; samples that are all alike have none, and
        # what lies within one standard deviation is usual there too
        logs = np.log(np.maximum(np.concatenate(unseen), 1e-6))
        usual = float(np.exp(logs.mean() + USUAL * logs.std()))
        return cls._fitted(samples, max(usual, 1.0))

    @classmethod
    def _fitted(cls, samples: Vector, usual: float) -> Self:
        mean, deviation = samples.mean(axis=0), samples.std(axis=0)
        # a number that is the same in all samples would count infinitely
        scale = deviation + max(1e-3 * float(deviation.mean()), 1e-6)
        scaled = (samples - mean) / scale
        # of few samples with many numbers, the products of samples are quicker than an SVD
        squares, vectors = np.linalg.eigh(scaled @ scaled.T)
        squares, vectors = np.maximum(squares[::-1], 0), vectors[:, ::-1][:, :DIRECTIONS]
        along = squares[:DIRECTIONS]
        exists = along > 1e-9 * max(squares.sum(), 1e-9)
        directions = np.where(exists, scaled.T @ vectors / np.sqrt(np.where(exists, along, 1)), 0)
        freedom = len(samples) - 1
        rest = squares[DIRECTIONS:].sum() / freedom / max(len(mean) - DIRECTIONS, 1)
        return cls(
            mean,
            scale,
            directions,
            np.maximum(along / freedom, 1e-3),
            np.array(max(float(rest), 1e-3)),
            np.array(usual),
        )

    def distances(self, samples: Vector) -> Vector:
        """Mahalanobis distances of samples (n, d), root mean square in multiples of `usual`."""
        apart = (samples - self.mean) / self.scale
        along = apart @ self.directions
        across = np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squares = (along**2 / self.spread).sum(axis=1) + across / self.rest
        found: Vector = np.sqrt(squares / len(self.mean)) / self.usual
        return found

    def distance(self, sample: npt.NDArray[np.floating]) -> float:
        """Of one sample, (d,)."""
        return float(self.distances(np.asarray(sample, np.float64)[None])[0])
