"""The order of a patient's films."""

import csv
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xemplar.catalog import Case
from xemplar.data.datasets import open_dataset
from xemplar.retrieval.timeline import in_order

CASE = Case(
    id=0, case_id="0", image_sha256="0", source="set", height=1, width=1, spacing_mm=None,
    photometric=None, created_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def films(*told: dict[str, Any]) -> list[Case]:
    return [replace(CASE, id=number, **fields) for number, fields in enumerate(told)]


def ordered(*told: dict[str, Any]) -> tuple[str, list[int], list[int | None]]:
    order, found = in_order(films(*told))
    return order, [case.id for case, _ in found], [day for _, day in found]


def test_days_order_films_and_numbers_those_of_one_day() -> None:
    assert ordered(
        {"day": 30, "followup": 0}, {"day": 0, "followup": 2}, {"day": 0, "followup": 1}
    ) == ("day", [2, 1, 0], [0, 0, 30])


def test_days_of_headers_order_films() -> None:
    assert ordered({"shifted_day": 10**9 + 5}, {"shifted_day": 10**9}) == (
        "day", [1, 0], [10**9, 10**9 + 5],
    )  # fmt: skip


def test_numbers_order_films_where_a_day_is_missing() -> None:
    told = ({"followup": 2, "day": 0}, {"followup": 0}, {"followup": 1, "day": 3})
    assert ordered(*told) == ("followup", [1, 2, 0], [None] * 3)


def test_days_that_count_from_different_ones_are_not_mixed() -> None:
    assert ordered({"day": 5}, {"shifted_day": 10**9}) == ("partial", [0, 1], [None, None])


def test_films_of_which_nothing_is_known_come_last() -> None:
    assert ordered({}, {"followup": 1}, {}) == ("partial", [1, 0, 2], [None] * 3)


@pytest.mark.parametrize("name", ["nih14", "nih14-more"])
def test_the_order_is_that_of_the_data_set_for_every_patient(real_data: Path, name: str) -> None:
    told = defaultdict[str, list[int]](list)
    with (real_data / name / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            told[row["patient_id"]].append(int(row["followup"]))
    of_patient = defaultdict[str, list[Case]](list)
    images = open_dataset(real_data / name).images
    for number in np.random.default_rng(0).permutation(len(images)):
        image = images[number]
        case = replace(CASE, id=int(number), followup=image.followup)
        of_patient[str(image.patient)].append(case)
    assert of_patient.keys() == told.keys()
    for patient, cases in of_patient.items():
        order, found = in_order(cases)
        assert (order, [case.followup for case, _ in found]) == ("followup", sorted(told[patient]))
