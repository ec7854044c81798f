"""Re-identification, on embeddings whose patients are known."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.shortcuts.identity import identity, identity_sentence


def of_patients(data: EvaluationData, patients: list[str | None], vectors: np.ndarray):
    """The data with these patients and embeddings of its queries, and no other images."""
    queries = replace(data.queries, patients=tuple(patients), embedding=vectors)
    nobody = replace(data.tuning, case_ids=(), patients=(), embedding=vectors[:0])
    candidates = replace(data.candidates, cases=(), embedding=vectors[:0])
    return replace(data, queries=queries, tuning=nobody, candidates=candidates)


def test_embeddings_of_which_each_patient_has_one_direction_identify_all(
    data: EvaluationData,
) -> None:
    count = len(data.queries)
    directions = np.eye(count // 2, dtype=np.float32).repeat(2, axis=0)
    patients = [f"p{n // 2}" for n in range(count)]
    found = identity(of_patients(data, patients, directions))
    assert found.first is not None
    assert found.first.value == 1
    assert found.chance == pytest.approx(1 / (count - 1))
    assert (found.asked, found.gallery) == (count, count - 1)


def test_embeddings_that_say_nothing_are_at_chance(data: EvaluationData) -> None:
    count, draw = len(data.queries), np.random.default_rng(0)
    patients = [f"p{n // 2}" for n in range(count)]
    shares = []
    for _ in range(60):
        vectors = draw.normal(size=(count, 8)).astype(np.float32)
        found = identity(of_patients(data, patients, vectors))
        assert found.first is not None
        shares.append(found.first.value)
    assert np.mean(shares) == pytest.approx(1 / (count - 1), abs=0.04)


def test_patients_with_one_image_and_unknown_ones_are_not_asked_about(
    data: EvaluationData,
) -> None:
    count = len(data.queries)
    vectors = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    patients = [None, None, *(f"p{n}" for n in range(count - 2))]
    found = identity(of_patients(data, patients, vectors))
    assert found.first is None
    assert identity_sentence(found) == ""
