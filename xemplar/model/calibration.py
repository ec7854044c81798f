"""Meaning of a finding's logit: probability, base rate and threshold within a population."""

import math
from dataclasses import dataclass

from xemplar.errors import CorruptArtefact

STRONG_ODDS = 1.5
"""Factor by which a location in a map's brightest colour alone raises the finding's odds.

With the shipped checkpoint the median called finding's map reaches 0.5 to 1.1 of that scale, by
finding, over 2,178 calls on `nih14` (docs/decisions/0046).
"""


@dataclass(frozen=True)
class Calibration:
    """Probability, base rate and threshold of one finding; see docs/decisions/0032.

    Attributes:
        scale: of the logit, above 0: probability = sigmoid(scale * logit + offset).
        offset: added to it.
        threshold: probability in [0, 1] from which on the finding is called present; None where
            too few validation images show it, and it is never called.
        base_rate: share of the population's labelled images with the finding, in (0, 1); None
            where it is not known.
        positives: number of labelled images with the finding; None where it was not counted.
        val_positives: number of validation images among them, likewise.
    """

    scale: float = 1.0
    offset: float = 0.0
    threshold: float | None = 0.5
    base_rate: float | None = None
    positives: int | None = None
    val_positives: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise CorruptArtefact(f"a threshold is {self.threshold!r}; it must be from 0 to 1")
        if self.base_rate is not None and not 0 < self.base_rate < 1:
            raise CorruptArtefact(f"a base rate is {self.base_rate!r}; it must be between 0 and 1")

    @property
    def strong(self) -> float:
        """Grad-CAM, in logits per location, that is shown in the brightest colour.

        It depends on neither image nor neighbours, so one colour always means the same: a map sums
        to the logit, and this much of it multiplies the odds by `STRONG_ODDS`.
        """
        return math.log(STRONG_ODDS) / self.scale


@dataclass(frozen=True)
class Population:
    """Images of one data set within which a checkpoint's probabilities hold.

    Attributes:
        source: name of the data set.
        images: number of validation images that slope and threshold were fitted on.
        labelled: number of training and validation images that base rates were counted on.
        ill: share of these that show a finding, in [0, 1].
    """

    source: str
    images: int
    labelled: int
    ill: float

    def __post_init__(self) -> None:
        if not 0 <= self.ill <= 1:
            raise CorruptArtefact(f"a share of images is {self.ill!r}; it must be from 0 to 1")
