"""Samples that explanations are judged on: an image, a finding, and its boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xemplar.data.boxes import Box
from xemplar.data.findings import finding_index
from xemplar.imaging.preprocess import PreprocessSpec, input_region

from ..data import EvaluationImages


@dataclass(frozen=True, eq=False)
class ExplanationSample:
    """One image and the finding whose map is judged on it.

    Attributes:
        row: of the image in `EvaluationImages`.
        finding: index of the finding among the checkpoint's outputs.
        mask: bool (s, s), the union of the finding's boxes in the frame of the network's input;
            None where there is no box.
    """

    row: int
    finding: int
    mask: npt.NDArray[np.bool_] | None = None


def drawn_samples(
    images: EvaluationImages, findings: Sequence[str], spec: PreprocessSpec, seed: int
) -> Iterator[ExplanationSample]:
    """Draws samples in random order, one for each image, made as they are asked for.

    From the images with boxes; where no image has boxes, from those labelled with a finding of the
    checkpoint. Of several findings on one image, one is drawn.

    Args:
        images: to draw from.
        findings: the checkpoint's outputs, in their order.
        spec: how an image becomes the input.
        seed: of the draws.

    Raises:
        UnknownFinding: a box is about a finding that is no output of the checkpoint.
    """
    random = np.random.default_rng(seed)
    if images.boxes:
        present = {
            row: sorted({finding_index(findings, box.finding) for box in boxes})
            for row, boxes in images.boxes.items()
        }
    else:
        present = {
            row: [n for n, name in enumerate(findings) if image.labels.get(name) == 1]
            for row, image in enumerate(images.records)
        }
    for row in random.permutation(sorted(row for row, found in present.items() if found)):
        finding = int(random.choice(present[int(row)]))
        yield ExplanationSample(
            int(row), finding, box_mask(images, int(row), findings[finding], spec)
        )


def box_mask(
    images: EvaluationImages, row: int, finding: str, spec: PreprocessSpec
) -> npt.NDArray[np.bool_] | None:
    """Union of an image's boxes of one finding, bool (s, s) in the frame of the input, or None."""
    height, width = (int(side) for side in images.shapes[row])
    mask = np.zeros((spec.size, spec.size), bool)
    for box in images.boxes.get(row, ()):
        if box.finding == finding:
            mask |= onto_input(box, spec, height, width).mask(spec.size, spec.size)
    return mask if mask.any() else None


def onto_input(box: Box, spec: PreprocessSpec, height: int, width: int) -> Box:
    """Converts a box from shares of the image to shares of the network's input.

    Args:
        box: on the image.
        spec: how the image becomes the input.
        height: of the image, in pixels.
        width: likewise.
    """
    placed = input_region(spec, height, width)
    return replace(
        box,
        left=(placed.x + box.left * placed.width) / spec.size,
        right=(placed.x + box.right * placed.width) / spec.size,
        top=(placed.y + box.top * placed.height) / spec.size,
        bottom=(placed.y + box.bottom * placed.height) / spec.size,
    )
