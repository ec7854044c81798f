"""Sixty indexed cases of thirty patients, and a protocol about them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.readers.plan import Indexed

from xemplar.catalog import Case

CASES = 60
PROTOCOL = """
title = "Do similar cases help?"
question = "Is there an effusion?"
finding = "Effusion"
readers = ["ada", "bob", "cleo"]
cases = 3
seed = 4

[[arms]]
name = "without"
cases = "none"

[[arms]]
name = "similar"
cases = "similar"

[[arms]]
name = "wrong"
cases = "wrong"

[films]
with = 6
without = 6
source = "ward"
"""


def case(number: int) -> Case:
    """Two images of each patient; every other patient has the finding."""
    return Case(
        id=number,
        case_id=f"{number:016x}",
        image_sha256=f"{number:064x}",
        source="ward",
        patient=f"{number // 2:016x}",
        labels={"Effusion": number // 2 % 2},
        height=10,
        width=10,
        spacing_mm=None,
        photometric=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def indexed() -> Indexed:
    cases = [case(number) for number in range(CASES)]
    vectors = np.random.default_rng(0).normal(size=(CASES, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = np.array([one.labels["Effusion"] == 1 for one in cases])
    return Indexed("20260101T000000Z-00000000", cases, present, vectors)


@pytest.fixture
def protocol_file(tmp_path: Path) -> Path:
    file = tmp_path / "protocol.toml"
    file.write_text(PROTOCOL)
    return file
