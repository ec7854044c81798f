"""What another reader's class says of labels."""

from pathlib import Path

import pytest

from xemplar.data.datasets import open_dataset
from xemplar.data.findings import VOCABULARY, Labels
from xemplar.data.readings import READINGS, contradicted


@pytest.mark.parametrize(
    ("column", "name", "labels", "expected"),
    [
        ("rsna_class", "Normal", {"Mass": 1, "Edema": 0, "Hernia": -1}, {"Mass"}),
        ("rsna_class", "Normal", {"Fracture": 1}, set()),  # none of NIH's findings
        ("rsna_class", "Lung Opacity", {"Mass": 1, "Pneumonia": 0}, set()),
        ("rsna_class", "Lung Opacity", {"Pneumonia": -1, "Mass": 0}, set()),
        ("rsna_class", "Lung Opacity", {"Effusion": 1, "Pneumonia": 0, "Mass": 0},
         {"Pneumonia", "Mass"}),
        ("rsna_class", "Lung Opacity", {}, set()),
        ("rsna_class", "No Lung Opacity / Not Normal", {"Pneumonia": 1, "Mass": 1},
         {"Pneumonia"}),
        ("google_pneumothorax", "YES", {"Pneumothorax": 0, "Mass": 0}, {"Pneumothorax"}),
        ("google_nodule_or_mass", "NO", {"Nodule": 1, "Edema": 1}, {"Nodule"}),
    ],
)  # fmt: skip
def test_a_reading_contradicts_what_it_excludes_and_the_absence_of_what_it_requires(
    column: str, name: str, labels: Labels, expected: set[str]
) -> None:
    assert contradicted(labels, column, name) == expected


def test_readings_speak_of_findings_that_there_are() -> None:
    named = {
        finding
        for classes in READINGS.values()
        for reading in classes.values()
        for finding in (*reading.excludes, *reading.requires)
    }
    assert named <= VOCABULARY


def test_readings_stand_in_columns_of_the_label_file_and_unknown_ones_are_noted(
    tmp_path: Path,
) -> None:
    rows = ["1.png,Mass,Normal,", "2.png,,normal,YES", "3.png,,,"]
    header = "file,findings,rsna_class,google_pneumothorax"
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    dataset = open_dataset(tmp_path)
    assert [dict(image.readings) for image in dataset.images] == [
        {"rsna_class": "Normal"}, {"google_pneumothorax": "YES"}, {},
    ]  # fmt: skip
    (note,) = dataset.notes
    assert "not known, and not used: rsna_class: 'normal'" in note
