"""The map that the service shows unasked: of one finding, that it chooses, and often of none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import NO_FINDING, positives
from xemplar.imaging.preprocess import onto_image
from xemplar.model.checkpoint import Checkpoint

from ..bootstrap import estimate
from ..data import EvaluationData
from ..section import Cell, Estimate, Table
from .maps import Explainer
from .measure import Region, image_shape
from .metrics import pointing_game

Values = npt.NDArray[np.float64]


def shown_by_default(
    checkpoint: Checkpoint, logits: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return the finding that the service explains unasked, and whether it draws its map.

    As `xemplar.retrieval.query.answer_of` and `xemplar.retrieval.render.query_map` do.

    Args:
        checkpoint: gives probabilities and thresholds.
        logits: float32 (N, F).

    Returns:
        Index of the finding, int (N,), and whether it reaches its threshold, bool (N,).
    """
    probabilities = checkpoint.probabilities(logits)
    finding = np.array([checkpoint.order(row)[0] for row in probabilities], np.intp)
    drawn = probabilities >= checkpoint.thresholds
    return finding, drawn[np.arange(len(logits)), finding]


@dataclass(frozen=True, eq=False)
class DefaultMaps:
    """Hits of the maps shown unasked on N images; NaN where a question does not arise.

    Attributes:
        drawn: float64 (N,), 1 where a map is drawn; of images with boxes.
        healthy: float64 (N,), likewise, of images whose known findings are all absent.
        any_box: float64 (N,), share of the map's highest points that lie in any box of the image;
            0 where no map is drawn. Of images with boxes.
        own_box: float64 (N,), likewise, in a box of the finding that the map is of.
        area: float64 (N,), share of the image that its boxes cover.
    """

    drawn: Values
    healthy: Values
    any_box: Values
    own_box: Values
    area: Values


def default_maps(data: EvaluationData, explainer: Explainer) -> DefaultMaps:
    """Measure the maps that the service shows unasked on the queries."""
    queries = data.queries
    finding, drawn = shown_by_default(data.encoder.checkpoint, queries.logits)
    found = DefaultMaps(*(np.full(len(queries), np.nan) for _ in range(5)))
    for row, image in enumerate(queries.records):
        if set(positives(image.labels)) == {NO_FINDING}:
            found.healthy[row] = drawn[row]
    for row, boxes in queries.boxes.items():
        height, width = image_shape(queries, row)
        name = data.findings[finding[row]]
        every = Region(row, name, "", boxes).mask(height, width)
        found.drawn[row], found.area[row] = drawn[row], every.mean()
        found.any_box[row] = found.own_box[row] = 0
        if drawn[row]:
            cam = explainer.grad_cam(queries, row, name)
            heatmap = onto_image(cam, data.encoder.checkpoint.card.spec, height, width)
            found.any_box[row] = pointing_game(heatmap, every)
            own = tuple(box for box in boxes if box.finding == name)
            if own:
                mask = Region(row, name, "", own).mask(height, width)
                found.own_box[row] = pointing_game(heatmap, mask)
    return found


def default_table(data: EvaluationData, found: DefaultMaps) -> Table:
    """Tabulates the maps that are shown unasked, in each split apart."""
    return Table(
        "localisation-default",
        "The map that is shown unasked",
        ["images", "figure", "share", "chance"],
        list(_rows(data, found)),
        "Unasked, the service explains one finding that it chooses, and draws its Grad-CAM where "
        "the finding reaches its threshold; elsewhere in this section the finding is told. The "
        "shares of the second and third figure are of all images with boxes: where no map is "
        "drawn, none points. Chance is the share of the image that its boxes cover. An image is "
        "healthy if all findings that are known of it are absent. Intervals are over patients.",
    )


def _rows(data: EvaluationData, found: DefaultMaps) -> Iterator[list[Cell]]:
    for part, members in data.parts.items():
        mean = _mean(data, members)
        if mean(found.drawn) is not None:
            yield [part, "images with boxes on which a map is drawn", mean(found.drawn), None]
            yield [part, "its highest point lies in a box", mean(found.any_box), mean(found.area)]
            words = "its highest point lies in a box of that finding"
            yield [part, words, mean(found.own_box), None]
        if mean(found.healthy) is not None:
            yield [part, "healthy images on which a map is drawn", mean(found.healthy), None]


def _mean(
    data: EvaluationData, members: npt.NDArray[np.bool_]
) -> Callable[[Values], Estimate | None]:
    settings = data.settings

    def mean(values: Values) -> Estimate | None:
        some = np.where(members, values, np.nan)
        return estimate(some, data.queries.patients, settings.resamples, settings.seed)

    return mean


def default_words(data: EvaluationData, found: DefaultMaps) -> str:
    """Says in words what the maps that are shown unasked are worth."""
    mean = _mean(data, np.ones(len(data.queries), np.bool_))
    hit, healthy = mean(found.any_box), mean(found.healthy)
    words = (
        "The service is not told the finding: of the map that it shows unasked, the highest point "
        f"lies in a radiologist's box on {hit} of the images with boxes."
    )
    if healthy is not None:
        words += f" On {healthy} of the images labelled healthy a map is drawn, too."
    return words
