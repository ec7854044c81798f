"""Checks that an image resembles the indexed ones, is not rotated and not inverted.

Three feature vectors of an image are compared with a sample of the indexed images, each by a
low-rank Gaussian (`xemplar.imaging.validation.gaussian`):

- *layout*: a thumbnail, which shows the orientation;
- *texture*: the banded power spectrum;
- *activations*: the network's mean activations (Lee et al., NeurIPS 2018), which separate
  out-of-distribution images best, down to a child among adults.

An image that is out of distribution in one of them gets a warning; one that is far out in two is
rejected. The thresholds come from indexed images held out from the fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from xemplar.archive.artefact import write_file
from xemplar.errors import TURNED, Doubt, NotARadiograph
from xemplar.imaging.validation.gaussian import Gaussian, Vector
from xemplar.imaging.validation.spectrum import normalised, spectrum

SIDE = 32
"""Side of a thumbnail in pixels: enough for lungs, heart, shoulders and diaphragm."""

MIN_IMAGES = 100
"""Images needed to fit a validator: with fewer, rare images look out of distribution."""

MAX_IMAGES = 400
"""Images that a validator is fitted to; more hardly change its results."""

WARNING_DISTANCE = 1.2
"""Layout or texture distance, in multiples of the threshold, beyond which it alone warns."""

REJECTION_DISTANCE = 2.0
"""Product of activation distance and layout or texture distance beyond which an image is rejected,
if the latter exceeds its threshold. Rejects 1 to 2 % of children among adults and 4 % of adults
among children."""

FORM = "1"
"""Format version of the file of a validator."""

ROTATIONS = ("", "a quarter turn clockwise", "upside down", "a quarter turn anticlockwise")

Inputs = npt.NDArray[np.uint8]
Activations = npt.NDArray[np.floating]


class Orientation(NamedTuple):
    """Rotation and inversion of an image.

    Attributes:
        turned: quarter turns clockwise, 0 to 3.
        inverted: whether bones are dark.
    """

    turned: int = 0
    inverted: bool = False

    def corrected(self, inputs: Inputs) -> Inputs:
        """Undo rotation and inversion: uint8 (s, s), bones bright."""
        # `rot90` rotates anticlockwise
        upright = np.ascontiguousarray(np.rot90(inputs, self.turned))
        return ~upright if self.inverted else upright

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Kinds of the warnings."""
        turned = TURNED[self.turned - 1 : self.turned] if self.turned else ()
        return (*turned, "inverted") if self.inverted else turned

    def warnings(self) -> tuple[str, ...]:
        """Warnings for the user who sent the image."""
        found = []
        if self.turned:
            found.append(f"the image seems to lie {ROTATIONS[self.turned]}; it was not turned back")
        if self.inverted:
            found.append("the image seems to be inverted, bones dark; it was not turned back")
        return tuple(found)


UPRIGHT = Orientation()
ORIENTATIONS = tuple(
    Orientation(turned, inverted) for inverted in (False, True) for turned in range(4)
)


@dataclass(frozen=True)
class ValidationResult:
    """Result of validating an image.

    Attributes:
        distance: activation distance from the indexed images; in-distribution up to 1.
        warnings: sentences for the user who sent it; empty for a valid image.
        rejected: whether the image is far out of distribution.
        doubts: kinds of the warnings.
    """

    distance: float = 0.0
    warnings: tuple[str, ...] = ()
    rejected: bool = False
    doubts: tuple[Doubt, ...] = ()

    def require_accepted(self) -> tuple[str, ...]:
        """Return the warnings of an accepted image.

        Raises:
            NotARadiograph: the image was rejected.
        """
        if self.rejected:
            raise NotARadiograph(
                f"this is no image of the kind that is indexed here: {'; '.join(self.warnings)}"
            )
        return self.warnings


@dataclass(frozen=True, eq=False)
class InputValidator:
    """Out-of-distribution check fitted to indexed images.

    Attributes:
        layout: distribution of their thumbnails.
        texture: distribution of their power spectra.
        activations: distribution of their mean activations.
    """

    layout: Gaussian
    texture: Gaussian
    activations: Gaussian

    @classmethod
    def fit(cls, inputs: Inputs, activations: Activations) -> Self | None:
        """Fit to indexed images; None if there are fewer than `MIN_IMAGES`.

        Args:
            inputs: network inputs, uint8 (n, s, s).
            activations: their mean activations, (n, C): the rectified maps averaged over spatial
                locations.

        Raises:
            ValueError: the shapes do not match.
        """
        if inputs.ndim != 3 or activations.shape[:1] != inputs.shape[:1]:
            raise ValueError(
                f"inputs must be (n, s, s) and activations (n, C), not {inputs.shape} and "
                f"{activations.shape}"
            )
        if len(inputs) < MIN_IMAGES:
            return None
        return cls(
            Gaussian.fit(np.stack([_thumbnail(one) for one in inputs])),
            Gaussian.fit(np.stack([spectrum(one) for one in inputs])),
            Gaussian.fit(activations.astype(np.float64)),
        )

    def orientation(self, inputs: Inputs) -> Orientation:
        """Estimate the orientation: the one whose correction is closest to the indexed layouts."""
        return _nearest(self._layouts(inputs))

    def check(
        self,
        inputs: Inputs,
        activations: Activations,
        activations_of: Callable[[Inputs], Activations],
    ) -> ValidationResult:
        """Validate an image.

        Args:
            inputs: network input, uint8 (s, s).
            activations: its mean activations, (C,).
            activations_of: computes the activations of another input; called with the corrected
                image if this one seems rotated or inverted.
        """
        layouts = self._layouts(inputs)
        orientation, layout = _nearest(layouts), float(layouts.min())
        upright = orientation.corrected(inputs)
        distance = self.activations.distance(activations)
        texture = self.texture.distance(spectrum(upright))
        feature, deviation = max(("layout", layout), ("texture", texture), key=lambda one: one[1])
        # correcting helps only if the corrected image is in-distribution
        if (
            orientation != UPRIGHT
            and deviation <= WARNING_DISTANCE
            and self.activations.distance(activations_of(upright)) <= 1
        ):
            return ValidationResult(distance, orientation.warnings(), doubts=orientation.doubts)
        if distance <= 1 and deviation <= WARNING_DISTANCE:
            return ValidationResult(distance)
        if deviation > 1 and deviation * distance > REJECTION_DISTANCE:
            reason = (
                f"it lies {distance:.1f} times (its {feature} {deviation:.1f} times) as far from "
                "the indexed images as usual ones; send a frontal chest radiograph"
            )
            return ValidationResult(distance, (reason,), rejected=True, doubts=("unlike",))
        warning = _unlike(max(distance, deviation), typical_layout=deviation <= 1)
        return ValidationResult(distance, (warning,), doubts=("unlike",))

    def _layouts(self, inputs: Inputs) -> Vector:
        """Layout distances after correcting each of `ORIENTATIONS`, (8,)."""
        thumbnail = _thumbnail(inputs).reshape(SIDE, SIDE)
        corrected = [
            (-1) ** orientation.inverted * np.rot90(thumbnail, orientation.turned)
            for orientation in ORIENTATIONS
        ]
        return self.layout.distances(np.stack([one.ravel() for one in corrected]))

    def save(self, path: Path, checkpoint: str) -> None:
        """Write the validator atomically, with the digest of its checkpoint."""
        arrays = {
            f"{part}.{name}": np.ascontiguousarray(array)
            for part, gaussian in asdict(self).items()
            for name, array in gaussian.items()
        }
        write_file(path, to_safetensors(arrays, {"form": FORM, "checkpoint": checkpoint}))

    @classmethod
    def load(cls, path: Path, checkpoint: str) -> Self | None:
        """Read a saved validator; None if missing, damaged, or of another checkpoint."""
        try:
            with safe_open(path, "numpy") as file:
                if file.metadata() != {"form": FORM, "checkpoint": checkpoint}:
                    return None
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(*(_gaussian(arrays, p) for p in ("layout", "texture", "activations")))
        except (OSError, SafetensorError, KeyError):
            return None


def _nearest(layouts: Vector) -> Orientation:
    """Return the orientation whose correction has the smallest of the layout distances, (8,)."""
    return ORIENTATIONS[int(layouts.argmin())]


def _gaussian(arrays: Mapping[str, Vector], part: str) -> Gaussian:
    names = ("mean", "scale", "directions", "spread", "rest", "usual")
    return Gaussian(*(arrays[f"{part}.{name}"] for name in names))


def _unlike(distance: float, *, typical_layout: bool) -> str:
    """Word the warning of an out-of-distribution image.

    Args:
        distance: largest of its distances.
        typical_layout: whether layout and texture are in-distribution.
    """
    far = f"is unlike the indexed ones ({distance:.1f} times as far from them as usual ones)"
    if typical_layout:
        return (
            f"the image is laid out as a chest radiograph, but {far}: it may show a child among "
            "adults, an adult among children, an animal or a rare condition; similar cases "
            "may be none"
        )
    return (
        f"the image {far}, in its layout or texture, too: it may show another part of the body, an "
        "animal, a part of a chest, or no radiograph at all; similar cases may be none"
    )


def _thumbnail(inputs: Inputs) -> Vector:
    return normalised(inputs, SIDE).ravel()
