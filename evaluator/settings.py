"""Everything that a figure depends on and that one may choose."""

from dataclasses import dataclass

from xemplar.ratings import MAX_RATING


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation; all of them are written into the report.

    Attributes:
        splits: of the data set, whose films are the queries.
        tuning_split: films on which thresholds and the calibration of similarity are fitted.
        index_splits: indexed cases that may be found; empty for all.
        resamples: of the bootstrap.
        max_rating: experts rate from 0 (nothing in common) to this.
        quantus_films: films that Quantus's metrics are measured on.
        lipschitz_samples: noisy copies of each for the Local Lipschitz Estimate.
        flipping_steps: steps in which Pixel Flipping blackens a film.
        cascade_films: films that the randomisation of weights is judged on.
        masking_pairs: pairs (query, neighbour) whose deletion and insertion curves are drawn.
        perturbations: masks of the perturbation method that these are compared with.
        seed: of everything random.
    """

    splits: tuple[str, ...] = ("test", "box")
    tuning_split: str = "val"
    index_splits: tuple[str, ...] = ()
    resamples: int = 1000
    max_rating: float = float(MAX_RATING)
    quantus_films: int = 16
    lipschitz_samples: int = 10
    flipping_steps: int = 28
    cascade_films: int = 32
    masking_pairs: int = 12
    perturbations: int = 200
    seed: int = 0
