"""What all studies work on: the query films, encoded once, and the indexed cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xemplar.boxes import Box
from xemplar.catalog import Case
from xemplar.datasets import Film
from xemplar.encoder import Encoder

from .settings import Settings


@dataclass(frozen=True, eq=False)
class Films:
    """Films of the data set, encoded once; s is the side of the network's input.

    Attributes:
        films: N records of the label file.
        case_ids: first 16 hex digits of each file's sha256: what a case is called in the service.
        patients: pseudonyms, as the catalog has them; None where unknown.
        shapes: int32 (N, 2), height and width of each film in pixels of its file.
        inputs: uint8 (N, s, s), what the network saw.
        embedding: float32 (N, C), unit vectors.
        logits: float32 (N, F), before calibration.
        maps: row -> float32 (C, g, g), rectified maps of the last layer, of films with boxes only.
        boxes: row -> the radiologists' boxes on that film.
    """

    films: tuple[Film, ...]
    case_ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    shapes: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.uint8]
    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    maps: Mapping[int, npt.NDArray[np.float32]]
    boxes: Mapping[int, tuple[Box, ...]]

    def __len__(self) -> int:
        return len(self.films)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The indexed cases that a ranking orders: all of the data set's source, ascending by id.

    Attributes:
        cases: M records of the catalog.
        embedding: float32 (M, C), unit vectors, as the index keeps them.
        inputs: uint8 (M, s, s), what the network saw of each.
        mean_cams: float32 (F, g, g), mean Grad-CAM of each finding over these cases.
    """

    cases: tuple[Case, ...]
    embedding: npt.NDArray[np.float32]
    inputs: npt.NDArray[np.uint8]
    mean_cams: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.cases)


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that a study may look at.

    Attributes:
        encoder: the network; its checkpoint has card and weights.
        queries: films of the asked splits, none of which a choice was made on.
        tuning: films of the tuning split; may be empty.
        candidates: the indexed cases.
        settings: of this evaluation.
        generation: name of the index generation.
        severity: film or case -> finding -> severity in (0, 1], by the film's file name; empty
            where the data set does not know it (only phantoms do).
        boxes_left_out: labels that no output of the checkpoint stands for -> how many boxes on
            the query films have it.
        trained: what the checkpoint's training has to do with the query films, a sentence.
    """

    encoder: Encoder
    queries: Films
    tuning: Films
    candidates: Candidates
    settings: Settings
    generation: str
    severity: Mapping[str, Mapping[str, float]]
    boxes_left_out: Mapping[str, int] = field(default_factory=dict)
    trained: str = ""

    @property
    def findings(self) -> Sequence[str]:
        """Names of the checkpoint's outputs, in their order."""
        return self.encoder.checkpoint.card.findings
