"""Cases made in bulk, without images, for `benchmarks.scale`.

Labels, sex, age, view, source and day are drawn from a seed. Embeddings of 256 numbers are modelled
on those of radiographs (`benchmarks.embedding_model` compares the two): components whose variances
fall as 1/i, of which each patient's three images share `SHARED`, and a direction for each finding.
Inverted lists depend on this: of isotropic noise they would find little.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import insert, text, update

from xemplar.catalog import migrate, open_catalog
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import CaseRow, ChangeRow, EmbeddingRow, FindingRow
from xemplar.data.findings import NIH14, positives
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import Architecture

CHECKPOINT = Checkpoint(
    Card(NIH14, PreprocessSpec(), Architecture(projection=256)), {}, digest="c" * 64
)
SIZE, GRID = 256, 7
IMAGES = 3
"""Images of a patient."""

ROWS = 1_024 * IMAGES
"""Cases made and written at a time."""

BATCH = 16
"""Cases of one change, as of one batch of an index job."""

PREVALENCE = np.array([10, 2.5, 4, 2, 12, 2, 1.5, 0.2, 18, 5, 5.5, 3, 1.3, 4.5], np.float32) / 100
"""Share of images with each finding of NIH ChestX-ray14, rounded."""

SHARED = 0.4
"""Share of the variance that images of one patient have in common."""

OF_FINDINGS = 0.5
"""Length of a finding's direction, where that of all else is about 1."""

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
DAYS = 2_000


class Embeddings:
    """Draws findings and embeddings of patients, one batch after another."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        directions = self.random.normal(size=(len(NIH14), SIZE))
        directions *= OF_FINDINGS / np.linalg.norm(directions, axis=1, keepdims=True)
        self._directions = directions.astype(np.float32)
        variances = 1 / np.arange(1, SIZE + 1)
        self._deviations = np.sqrt(variances / variances.sum()).astype(np.float32)

    def draw(self, count: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Return findings bool (n, F), and embeddings float32 (n, SIZE) of unit length."""
        random = self.random
        present = random.random((count, len(NIH14))) < PREVALENCE
        patients = random.standard_normal((-(-count // IMAGES), SIZE), np.float32)
        own = random.standard_normal((count, SIZE), np.float32)
        mixed = SHARED**0.5 * patients.repeat(IMAGES, axis=0)[:count] + (1 - SHARED) ** 0.5 * own
        vectors = mixed * self._deviations + (present - PREVALENCE) @ self._directions
        return present, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(
    count: int, checkpoint: Checkpoint = CHECKPOINT
) -> Iterator[tuple[list[dict[str, Any]], ...]]:
    """Yield rows of cases, of findings and of embeddings, `ROWS` cases at a time."""
    drawing = Embeddings()
    random = drawing.random
    for first in range(1, count + 1, ROWS):
        ids = range(first, min(first + ROWS, count + 1))
        present, vectors = drawing.draw(len(ids))
        logits = (4 * present - 2 + random.normal(size=present.shape)).astype("<f4")
        cams = random.random((len(ids), len(NIH14), GRID, GRID), np.float32).astype("<f2")
        ages, days = random.integers(1, 96, len(ids)), random.integers(0, DAYS, len(ids))
        drawn = random.random((len(ids), 3))
        cases, findings, embeddings = [], [], []
        for row, number in enumerate(ids):
            labels = dict(zip(NIH14, present[row].astype(int).tolist(), strict=True))
            cases.append(
                {
                    "id": number,
                    "case_id": f"{number:016x}",
                    "image_sha256": f"{number:064x}",
                    "source": "nih14" if drawn[row, 0] < 0.8 else "ward",
                    "file": f"{number}.png",
                    "patient": f"{(number - 1) // IMAGES:016x}",
                    "view": "PA" if drawn[row, 1] < 0.6 else "AP",
                    "sex": "F" if drawn[row, 2] < 0.44 else "M",
                    "age": int(ages[row]),
                    "labels": labels,
                    "width": 1024,
                    "height": 1024,
                    "created_at": FIRST_DAY + timedelta(days=int(days[row])),
                }
            )
            findings += [{"case": number, "finding": finding} for finding in positives(labels)]
            embeddings.append(
                {
                    "case": number,
                    "checkpoint": checkpoint.digest,
                    "vector": vectors[row].astype("<f4").tobytes(),
                    "logits": logits[row].tobytes(),
                    "cams": cams[row].tobytes(),
                    "change": 1 + number // BATCH,
                }
            )
        yield cases, findings, embeddings


def fill(
    url: str, cases: int, statistics: bool, checkpoint: Checkpoint = CHECKPOINT
) -> dict[str, str]:
    """Make a catalog in bulk, with embeddings as if by a checkpoint of 256 numbers."""
    migrate(url)
    with open_catalog(url) as catalog:
        for tables in rows(cases, checkpoint):
            with writing(catalog.engine) as connection:
                for table, some in zip((CaseRow, FindingRow, EmbeddingRow), tables, strict=True):
                    connection.execute(insert(table), some)
        with writing(catalog.engine) as connection:
            connection.execute(update(ChangeRow).values(number=1 + cases // BATCH))
            if connection.dialect.name == "postgresql":
                sequence = "SELECT setval(pg_get_serial_sequence('cases', 'id'), :last)"
                connection.execute(text(sequence), {"last": cases})
            if statistics:
                connection.execute(text("ANALYZE"))
    return {}
