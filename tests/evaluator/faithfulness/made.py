"""Small evaluation data for the faithfulness study: drawn images, a tiny network, made-up cases."""

from collections.abc import Mapping
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
from xemplar.data.findings import Labels
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder, open_encoder

SMALL = EvaluationSettings(
    resamples=50,
    quantus_samples=4,
    lipschitz_samples=2,
    flipping_steps=4,
    randomisation_samples=6,
    masking_pairs=2,
    perturbations=8,
)


def made_images(
    inputs: npt.NDArray[np.uint8],
    boxes: Mapping[int, tuple[Box, ...]] | None = None,
    labels: Mapping[int, Labels] | None = None,
    patients: tuple[str | None, ...] | None = None,
    encoder: Encoder | None = None,
    shapes: tuple[int, int] = (96, 80),
) -> EvaluationImages:
    """Images of these inputs, whose files were all of one shape."""
    n = len(inputs)
    encoded = encoder.encode(inputs) if encoder else None
    return EvaluationImages(
        records=tuple(
            DatasetImage(
                Path(f"/secret/{row}.png"), "made", f"{row}.png", labels=(labels or {}).get(row, {})
            )
            for row in range(n)
        ),
        case_ids=tuple(f"{row:016x}" for row in range(n)),
        patients=patients or tuple(f"patient-{row}" for row in range(n)),
        shapes=np.tile(np.array(shapes, np.int32), (n, 1)),
        inputs=inputs,
        embedding=encoded.embedding if encoded else np.zeros((n, 1), np.float32),
        logits=encoded.logits if encoded else np.zeros((n, 1), np.float32),
        maps={},
        boxes=boxes or {},
    )


def made_case(number: int, case_id: str, patient: str | None) -> Case:
    return Case(
        id=number,
        case_id=case_id,
        image_sha256=case_id * 4,
        height=96,
        width=80,
        spacing_mm=None,
        photometric=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="made",
        patient=patient,
    )


def drawn(count: int, size: int, first: int = 0) -> npt.NDArray[np.uint8]:
    """Inputs, uint8 (count, size, size)."""
    return np.stack([drawn_image(first + n, size, size) for n in range(count)])


def made_data(
    checkpoint: Checkpoint,
    boxes: Mapping[int, tuple[Box, ...]] | None = None,
    labels: Mapping[int, Labels] | None = None,
    settings: EvaluationSettings = SMALL,
) -> EvaluationData:
    """12 query images and 5 indexed cases."""
    encoder, size = open_encoder(checkpoint), checkpoint.card.spec.size
    queries = made_images(drawn(12, size), boxes, labels, encoder=encoder)
    indexed = drawn(5, size, first=100)
    cases = tuple(made_case(n, f"{100 + n:016x}", f"other-{n}") for n in range(5))
    grid = (len(checkpoint.card.findings), size // 32, size // 32)
    candidates = Candidates(
        cases, encoder.encode(indexed).embedding, indexed, np.zeros(grid, np.float32)
    )
    return EvaluationData(encoder, queries, queries, candidates, settings, "made", {})
