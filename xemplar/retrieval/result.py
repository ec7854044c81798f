"""Values of a query's answer."""

import time
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case, CaseReport
from xemplar.errors import Doubt, NotFound
from xemplar.imaging.burnt_in_text import TextBox, text_boxes
from xemplar.imaging.deep import DeepValues
from xemplar.index import SimilarityCalibration
from xemplar.model.calibration import Population
from xemplar.model.densenet import Features
from xemplar.reports.terms import Place
from xemplar.retrieval.prevalence import Prevalence
from xemplar.retrieval.steering import Steering
from xemplar.retrieval.words import Fused, WordRanking

Standing: TypeAlias = Literal["called", "raised", "usual"]

LIKELY = 0.5
"""Probability from which on a finding without a base rate counts as more likely than usual."""


@dataclass(frozen=True)
class Prediction:
    """The network's prediction for a finding.

    Attributes:
        finding: its name.
        probability: calibrated, in [0, 1].
        base_rate: share of the calibration's population with the finding; None if not known.
        lift: probability / base_rate; None without a base rate.
        threshold: probability from which on the finding is called present; None if it never is.
        called: whether the probability reaches the threshold; None without one. A Grad-CAM is
            drawn of called findings alone.
    """

    finding: str
    probability: float
    base_rate: float | None
    lift: float | None
    threshold: float | None
    called: bool | None

    @property
    def standing(self) -> Standing:
        """Prominence of the finding wherever people read it.

        "usual" (grey) if it is not more likely than usual; otherwise "called" (bold) or, below the
        threshold, "raised". So no bold finding has a lower lift than a grey one, whatever the
        thresholds of a checkpoint are.
        """
        likely = self.probability >= LIKELY if self.lift is None else self.lift >= 1
        if not likely:
            return "usual"
        return "called" if self.called else "raised"


@dataclass(frozen=True)
class Neighbour:
    """A similar case.

    Attributes:
        rank: from 1.
        case: the case itself.
        similarity: cosine of the two embeddings, in [-1, 1]. Not a probability.
        probability: predicted for the explained finding in this case.
        called: whether that reaches the finding's threshold; None without one.
        chance: calibrated probability that the case shares a finding with the query; None if the
            index has no calibration.
        closer_than: share of a sample of all cases that are less similar to the query, in [0, 1].
        more_of_patient: ids of other cases of its patient, where each patient is shown once.
        steering: score of a steered search, by which cases are ranked, and its parts; None where
            cases are ranked by similarity.
        fused: ranks by image and by words; None in a search without text.
        report: of the case; None if it has none.
        marks: places in the report that the search's text names.
    """

    rank: int
    case: Case
    similarity: float
    probability: float
    called: bool | None
    chance: float | None
    closer_than: float
    more_of_patient: tuple[str, ...]
    steering: Steering | None = None
    fused: Fused | None = None
    report: CaseReport | None = None
    marks: tuple[Place, ...] = ()


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of a query's image.

    Attributes:
        image: uint8 (height, width), display copy, longer side at most 1024 px.
        inputs: uint8 (s, s), the network's input.
        deep: the image's own values; None for images of 8 bits, and once they were forgotten. They
            are in memory alone: neither packed nor saved.
        text: areas of text that is burnt into the image; None if it was not looked for. In memory
            alone, too.
    """

    image: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    deep: DeepValues | None = None
    text: tuple[TextBox, ...] | None = None


@dataclass(frozen=True, eq=False)
class ExplainedQuery:
    """A query without the cases found: what its pictures are drawn from and it is repeated with.

    Attributes:
        query_id: random, 16 hex digits.
        image_id: first 16 hex digits of the sha256 of the image's file, like a case id.
        checkpoint: digest of the checkpoint used.
        pixels: of the image; None if they were forgotten with the memory of a service.
        features: of the query alone (N = 1).
        cams: float32 (F, g, g), Grad-CAM of the query for every finding.
        predictions: for all findings, as `Checkpoint.order` sorts them.
        explained: the finding that the overlays explain.
        warnings: problems with the image, as messages; empty if there are none.
        doubts: kinds of those for which there is a remedy.
        size_mm: (height, width) of the image in millimetres; None if unknown.
    """

    query_id: str
    image_id: str
    checkpoint: str
    pixels: Pixels | None
    features: Features
    cams: npt.NDArray[np.float32]
    predictions: tuple[Prediction, ...]
    explained: str
    warnings: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    size_mm: tuple[float, float] | None

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """Display copy, uint8 (height, width).

        Raises:
            NotFound: it was forgotten.
        """
        if self.pixels is None:
            raise NotFound(
                f"the image of query {self.query_id} was in the memory of a service that has "
                "stopped; send the image again"
            )
        return self.pixels.image

    @property
    def text(self) -> tuple[TextBox, ...]:
        """Areas of text that is burnt into the image, as found when it was asked about.

        Raises:
            NotFound: the image was forgotten.
        """
        found = None if self.pixels is None else self.pixels.text
        return text_boxes(self.image) if found is None else found

    @property
    def deep(self) -> DeepValues | None:
        """Its own values; None for images of 8 bits, and once they were forgotten."""
        return None if self.pixels is None else self.pixels.deep

    def without_deep(self) -> Self:
        """Return the query without its own values, which take up to 2 MB."""
        if self.pixels is None or self.pixels.deep is None:
            return self
        return replace(self, pixels=replace(self.pixels, deep=None))


@dataclass(frozen=True)
class QuestionImage:
    """Another image of a question of several: a query's or a case's.

    Attributes:
        query_id: id of the query; None for a case.
        case_id: id of the case; None for a query.
        warnings: problems with the image of a query, as messages.
    """

    query_id: str | None = None
    case_id: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer(ExplainedQuery):
    """A query's answer, with the data for its pictures.

    Attributes:
        generation: name of the index generation searched.
        archived_as: id of the most similar case that shows the same image, even if excluded from
            the search; None if there is none.
        population: images that the probabilities were calibrated on; None if not known.
        others: the question's other images; empty for one image.
        neighbours: most similar first; with diversity, in order of selection.
        counter_examples: most similar cases without the explained finding; empty if not requested.
        similarity_calibration: what the neighbours' chance was measured on; None if not measured.
        prevalence: of findings and outcomes in the neighbours; None unless the search asks for it.
        matched: number of indexed cases that match the filter, without explicitly excluded ones.
        recall_at_10: fraction of the exact 10 nearest cases that such a search finds, as measured
            when the index was built; 1.0 if all matching cases were compared.
        words: ranking of the matching cases by the search's text; None without one.
        timings_ms: milliseconds by stage, in order.
    """

    generation: str
    archived_as: str | None
    population: Population | None
    others: tuple[QuestionImage, ...]
    neighbours: tuple[Neighbour, ...]
    counter_examples: tuple[Neighbour, ...]
    similarity_calibration: SimilarityCalibration | None
    prevalence: Prevalence | None
    matched: int
    recall_at_10: float
    words: WordRanking | None
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class WordsMatch:
    """A case found by words alone.

    Attributes:
        rank: from 1.
        case: the case itself.
        more_of_patient: ids of other cases of its patient, where each patient is shown once.
        fused: its rank by words.
        report: of the case.
        marks: places in the report that the search's text names.
    """

    rank: int
    case: Case
    more_of_patient: tuple[str, ...]
    fused: Fused
    report: CaseReport
    marks: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class WordsAnswer:
    """Answer to a search by words alone.

    Attributes:
        generation: name of the index generation searched.
        neighbours: best rank first.
        prevalence: of findings and outcomes in the neighbours; None unless the search asks for it.
        matched: number of indexed cases that match the filter, without explicitly excluded ones.
        words: ranking of the matching cases.
        timings_ms: milliseconds by stage, in order.
    """

    generation: str
    neighbours: tuple[WordsMatch, ...]
    prevalence: Prevalence | None
    matched: int
    words: WordRanking
    timings_ms: dict[str, float]


class Stopwatch:
    """Measures milliseconds by stage."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._since = time.perf_counter()

    def stage(self, name: str) -> None:
        """Assign the time since the last call to a stage."""
        self.add(name, (time.perf_counter() - self._since) * 1000)

    def add(self, name: str, milliseconds: float) -> None:
        """Add a stage timed elsewhere; the next one starts now."""
        self.timings_ms[name] = round(milliseconds, 3)
        self._since = time.perf_counter()
