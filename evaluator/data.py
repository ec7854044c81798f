"""Evaluation data: the query images, encoded once, and the indexed cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case
from xemplar.data.boxes import Box
from xemplar.data.datasets import DatasetImage
from xemplar.model.encoder import Encoder

from .settings import EvaluationSettings


@dataclass(frozen=True, eq=False)
class EvaluationImages:
    """Images of the data set, encoded once; s is the side of the network's input.

    Attributes:
        records: N records of the label file.
        case_ids: first 16 hex digits of each file's sha256, as in the service.
        patients: pseudonyms, as the catalog has them; None where unknown.
        shapes: int32 (N, 2), height and width of each image in pixels of its file.
        inputs: uint8 (N, s, s), inputs of the network.
        embedding: float32 (N, C), unit vectors.
        logits: float32 (N, F), before calibration.
        maps: row -> float32 (C, g, g), rectified maps of the last layer, of images with boxes only.
        boxes: row -> the radiologists' boxes on that image.
    """

    records: tuple[DatasetImage, ...]
    case_ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    shapes: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.uint8]
    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    maps: Mapping[int, npt.NDArray[np.float32]]
    boxes: Mapping[int, tuple[Box, ...]]

    def __len__(self) -> int:
        return len(self.records)

    def among(self, rows: npt.NDArray[np.bool_]) -> Self:
        """Returns some of the images, bool (N,), in their order."""
        kept = [int(row) for row in np.flatnonzero(rows)]
        return replace(
            self,
            records=tuple(self.records[row] for row in kept),
            case_ids=tuple(self.case_ids[row] for row in kept),
            patients=tuple(self.patients[row] for row in kept),
            shapes=self.shapes[kept],
            inputs=self.inputs[kept],
            embedding=self.embedding[kept],
            logits=self.logits[kept],
            maps={n: self.maps[row] for n, row in enumerate(kept) if row in self.maps},
            boxes={n: self.boxes[row] for n, row in enumerate(kept) if row in self.boxes},
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """The indexed cases that a ranking orders: all of the data set's source, ascending by id.

    Attributes:
        cases: M records of the catalog.
        embedding: float32 (M, C), unit vectors, as the index keeps them.
        inputs: uint8 (M, s, s), inputs of the network.
        mean_cams: float32 (F, g, g), mean Grad-CAM of each finding over these cases.
    """

    cases: tuple[Case, ...]
    embedding: npt.NDArray[np.float32]
    inputs: npt.NDArray[np.uint8]
    mean_cams: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.cases)


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Input of all studies.

    Attributes:
        encoder: the network; its checkpoint has card and weights.
        queries: images of the evaluated splits; nothing was chosen on them.
        tuning: images of the tuning split; may be empty.
        candidates: the indexed cases.
        settings: of this evaluation.
        generation: name of the index generation.
        severity: image or case -> finding -> severity in (0, 1], by the image's file name; empty
            where the data set does not know it (only phantoms do).
        boxes_left_out: labels without an output of the checkpoint -> number of boxes on the
            query images.
        trained: sentence on whether the checkpoint was trained on the query images.
        leaks: counts of patients and pictures that it was trained on under other names.
    """

    encoder: Encoder
    queries: EvaluationImages
    tuning: EvaluationImages
    candidates: Candidates
    settings: EvaluationSettings
    generation: str
    severity: Mapping[str, Mapping[str, float]]
    boxes_left_out: Mapping[str, int] = field(default_factory=dict)
    trained: str = ""
    leaks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> Sequence[str]:
        """Names of the checkpoint's outputs, in their order."""
        return self.encoder.checkpoint.card.findings

    @property
    def parts(self) -> Mapping[str, npt.NDArray[np.bool_]]:
        """Splits of the queries by name, bool (N,): all of them together first, then each apart.

        How ill the images of a split are differs, and so does what is easy on them.
        """
        rule = self.encoder.checkpoint.card.split
        splits = np.array([rule.of(image) for image in self.queries.records], str)
        names = [n for n in dict.fromkeys((*self.settings.splits, *splits)) if n in splits]
        everything = {" + ".join(names): np.ones(len(splits), np.bool_)}
        return everything | {name: splits == name for name in names}


def related(
    queries: EvaluationImages, candidates: Candidates, rows: slice
) -> npt.NDArray[np.bool_]:
    """Marks cases that a query must not find: its own image, and those of its own patient.

    Returns:
        bool (rows, M). A case or query without a known patient is related to nobody.
    """
    case_ids = np.array([case.case_id for case in candidates.cases])
    patients = np.array([case.patient or "" for case in candidates.cases])
    own = np.array(queries.case_ids[rows])[:, None] == case_ids
    who = np.array([patient or "unknown" for patient in queries.patients[rows]])
    same: npt.NDArray[np.bool_] = own | (who[:, None] == patients)
    return same


def unrelated_cases(data: EvaluationData) -> list[int]:
    """Lists the indexed cases that are related to no query at all."""
    images, patients = set(data.queries.case_ids), set(data.queries.patients) - {None}
    return [
        index
        for index, case in enumerate(data.candidates.cases)
        if case.case_id not in images and case.patient not in patients
    ]


def nearest(
    queries: EvaluationImages,
    candidates: Candidates,
    row: int,
    count: int,
    usable: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Finds the most similar cases of a query by exact search, without `related` ones.

    Args:
        queries: evaluation images.
        candidates: indexed cases.
        row: of the query.
        count: most cases.
        usable: bool (M,), cases that may be found; None for all.

    Returns:
        (indices of the cases, cosines), the most similar first; of equal ones the lower index.
    """
    allowed = ~related(queries, candidates, slice(row, row + 1))[0]
    indices = np.flatnonzero(allowed if usable is None else allowed & usable)
    similarity = candidates.embedding[indices] @ queries.embedding[row]
    order = np.argsort(-similarity, kind="stable")[:count]
    return indices[order], similarity[order]
