"""Settings of an evaluation: each field is also an option of ``xemplar evaluate``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer
from pydantic import Field

from xemplar.api.rating_scale import MAX_RATING
from xemplar.cli.options import refusals
from xemplar.errors import ConfigurationError

SAMPLES = typer.Option(rich_help_panel="Sample sizes")


@dataclass(frozen=True)
class EvaluationSettings:
    """One evaluation; all settings are written into the report.

    Raises:
        ConfigurationError: a value is outside its range.
    """

    splits: Annotated[
        tuple[str, ...],
        Field(description="Split of the data set whose images are the queries; repeatable."),
        typer.Option("--split"),
    ] = ("test", "box")
    tuning_split: Annotated[
        str,
        Field(
            description="Split on which thresholds and the calibration of similarity are fitted."
        ),
    ] = "val"
    index_splits: Annotated[
        tuple[str, ...],
        Field(
            description="Only indexed cases of this split may be found; repeatable. Default: all."
        ),
        typer.Option("--index-split"),
    ] = ()
    leaks: Annotated[
        Literal["refuse", "drop"],
        Field(
            description="What becomes of images whose patient or picture the checkpoint was "
            "trained on under another name, or whose picture is indexed under another patient."
        ),
    ] = "refuse"
    max_rating: Annotated[
        float, Field(gt=0, description="Upper end of the experts' scale; its lower end is 0.")
    ] = float(MAX_RATING)
    seed: Annotated[int, Field(description="Seed of everything random.")] = 0
    resamples: Annotated[
        int, Field(ge=2, description="Resamples of the bootstrap over patients."), SAMPLES
    ] = 1000
    quantus_samples: Annotated[
        int, Field(ge=2, description="Images for Quantus, the most costly study."), SAMPLES
    ] = 16
    lipschitz_samples: Annotated[
        int,
        Field(ge=1, description="Noisy copies of each for the Local Lipschitz Estimate."),
        SAMPLES,
    ] = 10
    flipping_steps: Annotated[
        int, Field(ge=2, description="Steps in which Pixel Flipping blackens an image."), SAMPLES
    ] = 28
    randomisation_samples: Annotated[
        int, Field(ge=1, description="Images for the cascading randomisation of weights."), SAMPLES
    ] = 32
    masking_pairs: Annotated[
        int,
        Field(ge=2, description="Pairs (query, neighbour) for deletion and insertion curves."),
        SAMPLES,
    ] = 12
    perturbations: Annotated[
        int,
        Field(ge=1, description="Masks of the perturbation method (XAITK) for comparison."),
        SAMPLES,
    ] = 200

    def __post_init__(self) -> None:
        if wrong := refusals(self):
            raise ConfigurationError("; ".join(wrong))
