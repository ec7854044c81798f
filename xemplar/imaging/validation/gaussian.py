"""`Gaussian`: distance of a sample from a reference distribution, with a fitted threshold."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

DIRECTIONS = 12

USUAL = 3.4
"""Threshold of the log distance of held-out samples, in standard deviations above its mean; a
normal distribution exceeds it once in 3,000."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A low-rank Gaussian (probabilistic PCA: Tipping & Bishop, J. R. Stat. Soc. B 1999).

    Attributes:
        mean: float64 (d,).
        scale: float64 (d,), standard deviation of each feature, used for standardisation.
        directions: float64 (d, p), orthonormal principal directions of the standardised samples; 0
            where their rank is lower than p.
        spread: float64 (p,), variances along the directions.
        rest: float64 (), variance along every other direction.
        usual: float64 (), threshold: root mean square distance up to which a sample is
            in-distribution.
    """

    mean: Vector
    scale: Vector
    directions: Vector
    spread: Vector
    rest: Vector
    usual: Vector

    @classmethod
    def fit(cls, samples: Vector) -> Self:
        """Fit to samples, (n, d); the threshold comes from two-fold cross-validation."""
        halves = samples[::2], samples[1::2]
        held_out = [cls._fitted(a, 1.0).distances(b) for a, b in (halves, halves[::-1])]
        # log distances are nearly normal; identical samples have none, so the threshold is at least
        # one standard deviation
        logs = np.log(np.maximum(np.concatenate(held_out), 1e-6))
        usual = float(np.exp(logs.mean() + USUAL * logs.std()))
        return cls._fitted(samples, max(usual, 1.0))

    @classmethod
    def _fitted(cls, samples: Vector, usual: float) -> Self:
        mean, deviation = samples.mean(axis=0), samples.std(axis=0)
        # a constant feature would get infinite weight
        scale = deviation + max(1e-3 * float(deviation.mean()), 1e-6)
        scaled = (samples - mean) / scale
        # with fewer samples than features, the Gram matrix is faster than an SVD
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
        """Mahalanobis distances of samples (n, d), root mean square, in multiples of `usual`."""
        centred = (samples - self.mean) / self.scale
        along = centred @ self.directions
        across = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squares = (along**2 / self.spread).sum(axis=1) + across / self.rest
        found: Vector = np.sqrt(squares / len(self.mean)) / self.usual
        return found

    def distance(self, sample: npt.NDArray[np.floating]) -> float:
        """Distance of one sample, (d,); see `distances`."""
        return float(self.distances(np.asarray(sample, np.float64)[None])[0])
