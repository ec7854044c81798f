"""A query's answer, as plain values."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case
from xemplar.model.densenet import Features


@dataclass(frozen=True)
class Prediction:
    """What the network says of one finding.

    Attributes:
        finding: its name.
        probability: calibrated, in [0, 1].
        present: whether it reaches the finding's threshold; below it no Grad-CAM is drawn.
    """

    finding: str
    probability: float
    present: bool


@dataclass(frozen=True)
class Neighbour:
    """One similar case.

    Attributes:
        rank: from 1.
        case: who it is.
        similarity: cosine of the two embeddings, in [-1, 1]. Not a probability.
        probability: that the network gives the explained finding in this case.
        present: whether that reaches the finding's threshold.
        chance: that the case shares a finding with the query, by the index's calibration of
            similarity; None where the index has none.
    """

    rank: int
    case: Case
    similarity: float
    probability: float
    present: bool
    chance: float | None


@dataclass(frozen=True, eq=False)
class Answer:
    """A query and its answer, with what its pictures are made from.

    Attributes:
        query_id: random, 16 hex digits.
        image_id: the first 16 hex digits of the sha256 of the image's file, as a case's id.
        checkpoint: digest of the checkpoint that answered.
        generation: name of the index generation that answered.
        image: uint8 (height, width), display copy of the query, longer side at most 1024 px.
        inputs: uint8 (s, s), what the network saw of it.
        archived_as: id of the most similar case that shows this very image, whatever the search
            left out; None where none does.
        features: of the query alone (N = 1).
        cams: float32 (F, g, g), Grad-CAM of the query for every finding.
        predictions: all findings, the most probable first.
        explained: the finding that the overlays explain.
        neighbours: the most similar case first; with diversity, in the order of choice.
        counter_examples: the most similar cases without the explained finding; empty where none
            were asked for.
        matched: how many indexed cases the filter means, less those that are excluded by name.
        warnings: what speaks against the image, for people; empty for one as it should be.
        timings_ms: milliseconds by stage, in the order of the stages.
    """

    query_id: str
    image_id: str
    checkpoint: str
    generation: str
    image: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    archived_as: str | None
    features: Features
    cams: npt.NDArray[np.float32]
    predictions: tuple[Prediction, ...]
    explained: str
    neighbours: tuple[Neighbour, ...]
    counter_examples: tuple[Neighbour, ...]
    matched: int
    warnings: tuple[str, ...]
    timings_ms: dict[str, float]


class Stopwatch:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._since = time.perf_counter()

    def stage(self, name: str) -> None:
        """The time since the last call belongs to the stage ``name``."""
        self.add(name, (time.perf_counter() - self._since) * 1000)

    def add(self, name: str, milliseconds: float) -> None:
        """A stage that was timed elsewhere; the next one begins now."""
        self.timings_ms[name] = round(milliseconds, 3)
        self._since = time.perf_counter()
