"""What a map is judged on: a film, a finding of it, and where radiologists drew that finding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xemplar.boxes import Box
from xemplar.findings import finding_index
from xemplar.preprocess import PreprocessSpec, frame

from ..material import Films


@dataclass(frozen=True, eq=False)
class Unit:
    """One film and the finding whose map is judged on it.

    Attributes:
        row: of the film in `Films`.
        finding: place of the finding among the checkpoint's outputs.
        mask: bool (s, s), the union of the finding's boxes in the frame of the network's input;
            None where there is no box.
    """

    row: int
    finding: int
    mask: npt.NDArray[np.bool_] | None = None


def drawn_units(
    films: Films, findings: Sequence[str], spec: PreprocessSpec, seed: int
) -> Iterator[Unit]:
    """Units in random order, one for each film, made as they are asked for.

    From the films with boxes; where no film has boxes, from those labelled with a finding of the
    checkpoint. Of several findings on one film, one is drawn.

    Args:
        films: to draw from.
        findings: the checkpoint's outputs, in their order.
        spec: how a film becomes the input.
        seed: of the draws.

    Raises:
        UnknownFinding: a box is about a finding that is no output of the checkpoint.
    """
    random = np.random.default_rng(seed)
    if films.boxes:
        present = {
            row: sorted({finding_index(findings, box.finding) for box in boxes})
            for row, boxes in films.boxes.items()
        }
    else:
        present = {
            row: [n for n, name in enumerate(findings) if film.labels.get(name) == 1]
            for row, film in enumerate(films.films)
        }
    for row in random.permutation(sorted(row for row, found in present.items() if found)):
        finding = int(random.choice(present[int(row)]))
        yield Unit(int(row), finding, box_mask(films, int(row), findings[finding], spec))


def box_mask(
    films: Films, row: int, finding: str, spec: PreprocessSpec
) -> npt.NDArray[np.bool_] | None:
    """Union of a film's boxes of one finding, bool (s, s) in the frame of the input, or None."""
    height, width = (int(side) for side in films.shapes[row])
    mask = np.zeros((spec.size, spec.size), bool)
    for box in films.boxes.get(row, ()):
        if box.finding == finding:
            mask |= onto_input(box, spec, height, width).mask(spec.size, spec.size)
    return mask if mask.any() else None


def onto_input(box: Box, spec: PreprocessSpec, height: int, width: int) -> Box:
    """Carry a box from shares of the film to shares of the network's input.

    Args:
        box: on the film.
        spec: how the film becomes the input.
        height: of the film, in pixels.
        width: likewise.
    """
    place = frame(spec, height, width)
    return replace(
        box,
        left=(place.x + box.left * place.width) / spec.size,
        right=(place.x + box.right * place.width) / spec.size,
        top=(place.y + box.top * place.height) / spec.size,
        bottom=(place.y + box.bottom * place.height) / spec.size,
    )
