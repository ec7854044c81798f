"""Where findings lie on training films: in radiologists' boxes, else where such boxes usually are.

A label says what a film shows and not where, so a network may learn it from a margin or a device.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xemplar.boxes import BOX_FILES, Box, box_file, place_boxes, read_boxes, rows_of
from xemplar.datasets import Dataset, Film
from xemplar.errors import ConfigurationError
from xemplar.preprocess import Frame

SIDE = 64
"""Of a film's plan in cells: a box's edge is as exact as its readers were."""

KIN = frozenset({"Pneumonia", "Infiltration", "Consolidation"})
"""One opacity under three names: a box of one holds for the others too."""

USUALLY = 0.25
"""What a film without boxes counts, beside one with them: its place is only likely."""

Plan = npt.NDArray[np.float32]


class Places:
    """The plans of films: cells, with the share of each that shows a finding, or may.

    Attributes:
        usual: (SIDE, SIDE), in [0, 1], where boxes lie: 1 in the lungs, 0 at the margins.
    """

    def __init__(self, boxes: Mapping[int, Sequence[Box]], findings: Sequence[str]) -> None:
        self._findings = findings
        self._plans = {row: self._drawn(drawn) for row, drawn in boxes.items()}
        self.usual = _usual([plan for plans in self._plans.values() for plan in plans.values()])

    def of(self, place: int) -> tuple[Plan, npt.NDArray[np.int64]]:
        """The plans of the film at a place among the training films.

        Returns:
            (plans (n, SIDE, SIDE), the usual one first; which one each finding has, (F,)).
        """
        drawn = self._plans.get(place, {})
        which = [1 + [*drawn].index(f) if f in drawn else 0 for f in self._findings]
        return np.stack([self.usual, *drawn.values()]), np.array(which)

    def _drawn(self, boxes: Sequence[Box]) -> dict[str, Plan]:
        plans: dict[str, Plan] = {}
        for box in boxes:
            plan = box.mask(SIDE, SIDE).astype(np.float32)
            for finding in KIN & set(self._findings) if box.finding in KIN else {box.finding}:
                plans[finding] = np.maximum(plans.get(finding, 0), plan)
        return plans


def places_of(
    datasets: Sequence[Dataset], films: Sequence[Film], findings: Sequence[str]
) -> Places:
    """Read the box files in the data sets' folders.

    Args:
        datasets: of the training.
        films: its training films; boxes of other films are not looked at.
        findings: the network's outputs.

    Raises:
        DatasetError: a box file cannot be used.
        ConfigurationError: no training film has a box.
    """
    boxes: dict[int, tuple[Box, ...]] = {}
    for dataset in datasets:
        file = box_file(dataset.root)
        if file is None:
            continue
        rows = [row for row, film in enumerate(films) if film.source == dataset.name]
        own, drawn = [films[row] for row in rows], read_boxes(file)
        shapes = np.zeros((len(own), 2), np.int64)
        for row in {row for row in rows_of(drawn, own) if row is not None}:
            with Image.open(own[row].path) as film:
                shapes[row] = film.height, film.width
        placed = place_boxes(drawn, own, shapes, findings)
        boxes |= {rows[row]: found for row, found in placed.items()}
    if not boxes:
        raise ConfigurationError(
            "--boxes is given, and no training film has a box; put one of "
            f"{', '.join(BOX_FILES)} into the folder of its data set, or leave --boxes out"
        )
    return Places(boxes, findings)


def onto_input(plans: Plan, frame: Frame, size: int) -> Plan:
    """Plans (n, SIDE, SIDE) of a film, in the frame of the network's input, as fine as they are.

    Args:
        plans: of the film.
        frame: where the film lies in the input.
        size: side of the input in pixels.
    """
    into, scale = np.zeros_like(plans), SIDE / size
    x, y, width, height = (round(v * scale) for v in (frame.x, frame.y, frame.width, frame.height))
    if (width, height) == (SIDE, SIDE):
        return plans
    for one, plan in zip(into, plans, strict=True):
        one[y : y + height, x : x + width] = cv2.resize(
            plan, (width, height), interpolation=cv2.INTER_LINEAR
        )
    return into


def _usual(plans: Sequence[Plan]) -> Plan:
    """Where boxes lie, as likely at the left as at the right; 1 from a third of the maximum on."""
    if not plans:
        return np.ones((SIDE, SIDE), np.float32)
    mean = np.mean(plans, axis=0)
    smooth = cv2.GaussianBlur((mean + mean[:, ::-1]) / 2, (0, 0), SIDE / 20)
    usual: Plan = np.clip(3 * smooth / smooth.max(), 0, 1).astype(np.float32)
    return usual
