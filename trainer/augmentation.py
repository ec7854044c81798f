"""Strengths of augmentation; each field is also an option of ``xemplar train``."""

from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import Field

from xemplar.cli.options import refusals
from xemplar.errors import ConfigurationError

AUGMENTATION = typer.Option(rich_help_panel="Augmentation of training images")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image; the defaults are mild, so that it stays plausible."""

    flip: Annotated[
        float, Field(ge=0, le=1, description="Probability of a horizontal flip."), AUGMENTATION
    ] = 0.5
    brightness: Annotated[
        float,
        Field(ge=0, description="Grey values are multiplied by up to 1 +- this."),
        AUGMENTATION,
    ] = 0.2
    contrast: Annotated[
        float, Field(ge=0, description="The same, about the mean grey value."), AUGMENTATION
    ] = 0.2
    elastic: Annotated[
        float,
        Field(
            ge=0,
            description="Strength of the elastic deformation, in pixels of a 224-pixel input.",
        ),
        AUGMENTATION,
    ] = 30.0
    elastic_chance: Annotated[
        float, Field(ge=0, le=1, description="Probability of an elastic deformation."), AUGMENTATION
    ] = 0.3
    blur: Annotated[
        float,
        Field(ge=0, description="Largest standard deviation of the Gaussian blur, in pixels."),
        AUGMENTATION,
    ] = 1.0
    blur_chance: Annotated[
        float, Field(ge=0, le=1, description="Probability of a blur."), AUGMENTATION
    ] = 0.3
    rotation: Annotated[
        float, Field(ge=0, description="Largest rotation to either side, in degrees."), AUGMENTATION
    ] = 10.0
    translation: Annotated[
        float,
        Field(ge=0, description="Largest translation, as a share of the side."),
        AUGMENTATION,
    ] = 0.05
    scale: Annotated[
        float, Field(ge=0, description="Sizes range from 1 - this to 1 + this."), AUGMENTATION
    ] = 0.1
    shear: Annotated[float, Field(ge=0, description="Largest shear, in degrees."), AUGMENTATION] = (
        5.0
    )
    crop: Annotated[
        float,
        Field(gt=0, le=1, description="Smallest share of the area that a random crop keeps."),
        AUGMENTATION,
    ] = 0.8
    erasing_chance: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Random erasing: probability that corners and a margin are covered, so "
            "that markers and text there cannot be used.",
        ),
        AUGMENTATION,
    ] = 0.0
    gamma: Annotated[
        float,
        Field(
            ge=0,
            description="Grey values are raised to a power of up to e to the +- this, such as 0.2.",
        ),
        AUGMENTATION,
    ] = 0.0
    noise: Annotated[
        float,
        Field(
            ge=0,
            description="Largest standard deviation of Gaussian noise, in grey values from 0 to 1, "
            "such as 0.02.",
        ),
        AUGMENTATION,
    ] = 0.0

    def __post_init__(self) -> None:
        if wrong := refusals(self):
            raise ConfigurationError("; ".join(wrong))
