"""Calibrates cosine similarity to the probability that two images share a finding.

A cosine is not a probability, although users read it as one. The probability of a shared finding at
a given cosine depends on the network, the indexed images and the prevalence of findings, so it is
measured for an index (`xemplar evaluate ranking`) and published in its manifest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xemplar.errors import CorruptArtefact


@dataclass(frozen=True)
class SimilarityCalibration:
    """A non-decreasing piecewise linear curve, constant beyond its ends.

    Attributes:
        checkpoint: sha256 hex digest of the network that it calibrates.
        source: name of the data set that it was fitted on.
        images: number of images compared with the index.
        pairs: number of compared pairs.
        similarity: cosines, ascending, in [-1, 1].
        chance: fraction of pairs with a shared finding at each cosine, in [0, 1]. It holds only
            where findings are as frequent as among the images compared.
        ill: share of those images that show a finding, in [0, 1]; None in older calibrations.
    """

    checkpoint: str
    source: str
    images: int
    pairs: int
    similarity: tuple[float, ...]
    chance: tuple[float, ...]
    ill: float | None = None

    def __post_init__(self) -> None:
        knots, chance = np.array(self.similarity, float), np.array(self.chance, float)
        if (
            knots.shape != chance.shape
            or len(knots) < 2
            or not (np.diff(knots) > 0).all()
            or not (np.diff(chance) >= 0).all()
            or not ((np.abs(knots) <= 1).all() and ((chance >= 0) & (chance <= 1)).all())
            or not (self.ill is None or 0 <= self.ill <= 1)
        ):
            raise CorruptArtefact(
                "a calibration of similarity needs two or more cosines from -1 to 1 that "
                "ascend, and as many chances from 0 to 1 that do not descend; measure it again "
                "with `xemplar evaluate`"
            )

    def chance_of(self, similarity: float) -> float:
        """Return the probability, in [0, 1], that two images with this cosine share a finding."""
        return float(np.interp(similarity, self.similarity, self.chance))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Build the calibration from JSON, where tuples are lists.

        Raises:
            CorruptArtefact: fields are missing, unknown or out of range.
        """
        try:
            lists = {name: tuple(map(float, fields[name])) for name in ("similarity", "chance")}
            return cls(**{**fields, **lists})
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptArtefact(
                f"the calibration of similarity cannot be read: {error}"
            ) from error
