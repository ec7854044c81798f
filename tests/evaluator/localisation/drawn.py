"""Evaluation data that is made up: images whose maps, boxes and labels a test chooses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from xemplar_evaluator.data import Candidates, EvaluationData, EvaluationImages
from xemplar_evaluator.settings import EvaluationSettings

from tests.images import drawn_image
from xemplar.catalog import Case
from xemplar.data.boxes import Box
from xemplar.data.datasets import DatasetImage
from xemplar.model.encoder import Encoder

Maps = npt.NDArray[np.float32]


def unit_vectors(maps: Maps) -> Maps:
    """Embeddings, float32 (N, C), of maps (N, C, g, g)."""
    pooled = maps.mean(axis=(2, 3)) + 1e-6
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def images_of(
    encoder: Encoder,
    maps: Maps,
    boxes: Mapping[int, tuple[Box, ...]],
    shape: tuple[int, int] = (100, 80),
    prefix: str = "q",
) -> EvaluationImages:
    """Images with these maps, float32 (N, C, g, g); every two of them of one patient."""
    count, size = len(maps), encoder.checkpoint.card.spec.size
    return EvaluationImages(
        records=tuple(
            DatasetImage(Path(f"{prefix}{n}.png"), "drawn", f"secret-{prefix}{n}.png", split="test")
            for n in range(count)
        ),
        case_ids=tuple(f"case{prefix}{n}" for n in range(count)),
        patients=tuple(f"patient{prefix}{n // 2}" for n in range(count)),
        shapes=np.full((count, 2), shape, np.int32),
        inputs=np.stack([drawn_image(n, size, size) for n in range(count)])
        if count
        else np.zeros((0, size, size), np.uint8),
        embedding=unit_vectors(maps),
        logits=np.zeros((count, len(encoder.checkpoint.card.findings)), np.float32),
        maps={row: maps[row] for row in boxes},
        boxes=boxes,
    )


def case(number: int, finding: str | None, patient: str | None, case_id: str | None = None) -> Case:
    """An indexed case that has one finding, or none."""
    return Case(
        source="drawn",
        patient=patient,
        labels={} if finding is None else {finding: 1},
        id=number,
        case_id=case_id or f"indexed{number}",
        image_sha256="0" * 64,
        height=100,
        width=80,
        spacing_mm=None,
        photometric=None,
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
    )


def data_of(
    encoder: Encoder,
    queries: EvaluationImages,
    tuning: EvaluationImages,
    cases: Sequence[Case],
    embedding: Maps,
) -> EvaluationData:
    """Evaluation data whose indexed cases have these embeddings, float32 (M, C)."""
    card = encoder.checkpoint.card
    cells = next(iter(queries.maps.values())).shape[1] if queries.maps else 4
    mean_cams = np.zeros((len(card.findings), cells, cells), np.float32)
    mean_cams[:, 0, 0] = 1  # in the upper left corner, where no box of these tests is
    candidates = Candidates(
        tuple(cases), embedding, np.zeros((len(cases), 64, 64), np.uint8), mean_cams
    )
    return EvaluationData(
        encoder, queries, tuning, candidates, EvaluationSettings(resamples=50), "drawn", {}
    )
