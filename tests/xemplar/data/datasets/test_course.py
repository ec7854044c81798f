"""Columns of a label file that tell when a study was, and what it turned out to be."""

from pathlib import Path

import pytest

from xemplar.data.datasets import Dataset, open_dataset
from xemplar.data.outcomes import Diagnosis, Outcome, Proof
from xemplar.errors import DatasetError

HEADER = "file,findings,age,followup,day,outcome,proof,outcome_day"


def table(folder: Path, *rows: str, header: str = HEADER) -> Dataset:
    lines = [header, *(f"{n}.png,Mass,{row}" for n, row in enumerate(rows))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return open_dataset(folder)


def test_a_row_tells_number_day_and_outcomes(tmp_path: Path) -> None:
    (first, second) = table(
        tmp_path, "60,0,0,lung cancer|TB,biopsy|CT,12|-3", "61,1,365.0,Pneumonia|ARDS,discharge,"
    ).images
    assert (first.followup, first.day, second.followup, second.day) == (0, 0, 1, 365)
    assert first.outcomes == (
        Outcome(Diagnosis.LUNG_CANCER, Proof.BIOPSY, 12),
        Outcome(Diagnosis.TUBERCULOSIS, Proof.CT, -3),
    )
    assert second.outcomes == (
        Outcome(Diagnosis.PNEUMONIA, Proof.DISCHARGE),
        Outcome(Diagnosis.ARDS, Proof.DISCHARGE),
    )


def test_an_empty_cell_tells_of_no_outcome_and_a_table_without_the_column_tells_nothing(
    tmp_path: Path,
) -> None:
    (empty,) = table(tmp_path, ",,,,,").images
    assert (empty.followup, empty.day, empty.outcomes) == (None, None, ())
    (silent,) = table(tmp_path, "60", header="file,findings,age").images
    assert (silent.followup, silent.day, silent.outcomes) == (None, None, None)


def test_nih_numbers_its_studies(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,View Position\n0.png,Mass,7,1,PA\n"
    )
    assert open_dataset(tmp_path).images[0].followup == 7


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("60,-1,,,,", "line 2: followup is '-1'; it must be a whole number from 0 to 9,999"),
        ("60,,2024-01-31,,,", "day is '2024-01-31'.*a date could identify the patient"),
        ("60,,1.5,,,", "day is '1.5'"),
        ("60,,inf,,,", "day is 'inf'"),
        ("60,,99999,,,", "day is '99999'"),
        ("1,,800,,,", "not born at the first"),
        ("60,,,Gout,CT,", "unknown outcome 'Gout'.*known are: No Disease.*another name"),
        ("60,,,TB,guess,", "unknown proof 'guess'.*known are: biopsy"),
        ("60,,,TB,,", "unknown proof ''"),
        ("60,,,TB|ARDS|COPD,CT|CT,", "proof is 'CT|CT' for 3 outcome"),
        ("60,,,TB,CT,1|2", "outcome_day is '1|2' for 1 outcome"),
        ("60,,,,CT,", "proof is 'CT' for 0 outcome"),
        ("1,,,TB,CT,-900", "before the birth"),
        ("60,,," + "|".join(["TB"] * 11) + ",CT,", "11 outcomes; the limit is 10"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        table(tmp_path, row)
