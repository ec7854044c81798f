"""Before an answer: does this image look like those that are indexed, upright and not inverted?

Three things are measured of an image, and each is compared with a sample of the indexed images by a
Gaussian of few directions (`xemplar.imaging.validation.gaussian`):

- *layout*: a thumbnail. It tells which way up the image is, whatever else it shows;
- *texture*: how much fine and coarse structure it has, across and along (its power spectrum);
- *activations*: what the network sees in it (Lee et al., NeurIPS 2018). They tell best what is
  unlike, down to a child among adults.

What is unlike in one of them is warned of, and refused where it is far off in two. The thresholds
come from indexed images which the Gaussian has not seen.
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
from xemplar.errors import NotARadiograph
from xemplar.imaging.validation.gaussian import Gaussian, Vector
from xemplar.imaging.validation.spectrum import normalised, spectrum

SIDE = 32
"""Of a thumbnail in pixels: enough for lungs, heart, shoulders and diaphragm."""

FEWEST = 100
"""Images that an input validator needs: with fewer it could not tell a rare image from none."""

MOST = 400
"""Images that an input validator is made from; more hardly change what it says."""

FAR = 1.2
"""Multiple of the usual distance from which on layout or texture alone speak against an image."""

SURELY_NOT = 2.0
"""An unlike image is refused where its layout or texture is unusual too, and its distance times
theirs is beyond. Of children among adults 1 to 2 % lie there, of adults among children 4 %."""

FORM = "1"
"""Of the file that an input validator is kept in."""

TURNED = ("", "a quarter turn clockwise", "upside down", "a quarter turn anticlockwise")

Inputs = npt.NDArray[np.uint8]
Activations = npt.NDArray[np.floating]


class Way(NamedTuple):
    """How an image lies.

    Attributes:
        turned: quarter turns clockwise, 0 to 3.
        inverted: whether bones are dark.
    """

    turned: int = 0
    inverted: bool = False

    def undone(self, inputs: Inputs) -> Inputs:
        """The image put upright, bones bright: uint8 (s, s)."""
        # what came turned clockwise is put right by turning it anticlockwise, as `rot90` does
        upright = np.ascontiguousarray(np.rot90(inputs, self.turned))
        return ~upright if self.inverted else upright

    def warnings(self) -> tuple[str, ...]:
        """What is told to whoever sent the image."""
        told = []
        if self.turned:
            told.append(f"the image seems to lie {TURNED[self.turned]}; it was not turned back")
        if self.inverted:
            told.append("the image seems to be inverted, bones dark; it was not turned back")
        return tuple(told)


AS_IT_CAME = Way()
WAYS = tuple(Way(turned, inverted) for inverted in (False, True) for turned in range(4))


@dataclass(frozen=True)
class Verdict:
    """What the input validator says of an image.

    Attributes:
        distance: from the indexed images; what is usual lies between 0 and 1.
        warnings: sentences for whoever sent it; empty for an image as it should be.
        refused: whether it surely is none of the kind that is indexed.
    """

    distance: float = 0.0
    warnings: tuple[str, ...] = ()
    refused: bool = False

    def admitted(self) -> tuple[str, ...]:
        """The warnings of an image that is let in.

        Raises:
            NotARadiograph: it is not.
        """
        if self.refused:
            raise NotARadiograph(
                f"this is no image of the kind that is indexed here: {'; '.join(self.warnings)}"
            )
        return self.warnings


@dataclass(frozen=True, eq=False)
class InputValidator:
    """Knows what the indexed images look like.

    Attributes:
        layout: of their thumbnails.
        texture: of their spectra.
        activations: of what the network sees in them.
    """

    layout: Gaussian
    texture: Gaussian
    activations: Gaussian

    @classmethod
    def of(cls, inputs: Inputs, activations: Activations) -> Self | None:
        """Learn from indexed images; None if they are too few.

        Args:
            inputs: of the network, uint8 (n, s, s).
            activations: of each, (n, C): means of the network's rectified maps over the places.

        Raises:
            ValueError: other shapes.
        """
        if inputs.ndim != 3 or activations.shape[:1] != inputs.shape[:1]:
            raise ValueError(
                f"inputs must be (n, s, s) and activations (n, C), not {inputs.shape} and "
                f"{activations.shape}"
            )
        if len(inputs) < FEWEST:
            return None
        return cls(
            Gaussian.of(np.stack([_thumbnail(one) for one in inputs])),
            Gaussian.of(np.stack([spectrum(one) for one in inputs])),
            Gaussian.of(activations.astype(np.float64)),
        )

    def way(self, inputs: Inputs) -> Way:
        """How an image lies, going by its layout: the way that is most like the indexed images."""
        return WAYS[int(self._layouts(inputs).argmin())]

    def judge(
        self, inputs: Inputs, activations: Activations, see: Callable[[Inputs], Activations]
    ) -> Verdict:
        """Say what is doubtful in an image.

        Args:
            inputs: of the network, uint8 (s, s).
            activations: what it sees in them, (C,).
            see: gives the activations of other inputs; called with the image put upright, if it
                seems to be turned or inverted.
        """
        way = self.way(inputs)
        upright = way.undone(inputs)
        distance = self.activations.distance(activations)
        layout = float(self._layouts(inputs).min())
        texture = self.texture.distance(spectrum(upright))
        what, times = max(("layout", layout), ("texture", texture), key=lambda one: one[1])
        # what would not be usual upright, either, is turned in vain
        if way != AS_IT_CAME and times <= FAR and self.activations.distance(see(upright)) <= 1:
            return Verdict(distance, way.warnings())
        if distance <= 1 and times <= FAR:
            return Verdict(distance)
        if times > 1 and times * distance > SURELY_NOT:
            reason = (
                f"it lies {distance:.1f} times (its {what} {times:.1f} times) as far from the "
                "indexed images as usual ones; send a frontal chest radiograph"
            )
            return Verdict(distance, (reason,), refused=True)
        return Verdict(distance, (_unlike(max(distance, times), alike=times <= 1),))

    def _layouts(self, inputs: Inputs) -> Vector:
        """Distances of the layout in each of `WAYS`, (8,)."""
        thumbnail = _thumbnail(inputs).reshape(SIDE, SIDE)
        ways = [(-1) ** way.inverted * np.rot90(thumbnail, way.turned) for way in WAYS]
        return self.layout.distances(np.stack([way.ravel() for way in ways]))

    def save(self, path: Path, checkpoint: str) -> None:
        """Write it whole or not at all, with the digest of the checkpoint it belongs to."""
        arrays = {
            f"{part}.{name}": np.ascontiguousarray(array)
            for part, gaussian in asdict(self).items()
            for name, array in gaussian.items()
        }
        write_file(path, to_safetensors(arrays, {"form": FORM, "checkpoint": checkpoint}))

    @classmethod
    def load(cls, path: Path, checkpoint: str) -> Self | None:
        """Read what `save` wrote; None where that is missing, damaged, or of another checkpoint."""
        try:
            with safe_open(path, "numpy") as file:
                if file.metadata() != {"form": FORM, "checkpoint": checkpoint}:
                    return None
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(*(_gaussian(arrays, p) for p in ("layout", "texture", "activations")))
        except (OSError, SafetensorError, KeyError):
            return None


def _gaussian(arrays: Mapping[str, Vector], part: str) -> Gaussian:
    names = ("mean", "scale", "directions", "spread", "rest", "usual")
    return Gaussian(*(arrays[f"{part}.{name}"] for name in names))


def _unlike(distance: float, *, alike: bool) -> str:
    """The warning of an image that is unlike the indexed ones.

    Args:
        distance: of what is most unlike.
        alike: whether layout and texture are as usual.
    """
    far = f"is unlike the indexed ones ({distance:.1f} times as far from them as usual ones)"
    if alike:
        return (
            f"the image is laid out as a chest radiograph, but {far}: it may show a child among "
            "adults, "
            "an adult among children, an animal or a rare condition; similar cases may be none"
        )
    return (
        f"the image {far}, in its layout or texture, too: it may show another part of the body, an "
        "animal, a part of a chest, or no radiograph at all; similar cases may be none"
    )


def _thumbnail(inputs: Inputs) -> Vector:
    return normalised(inputs, SIDE).ravel()
