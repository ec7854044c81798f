"""What cannot succeed is refused at the start, with the remedy."""

from dataclasses import replace
from pathlib import Path

import pytest
from xemplar_study import requirements
from xemplar_study.choices import Choices, DataChoices, EvaluationChoices, TrainChoices
from xemplar_study.inspection import Inspection, inspect
from xemplar_study.requirements import cautions, evaluated_folders, missing_extras, refusals

from tests.images import drawn_image, encoded
from xemplar.data.findings import NIH14
from xemplar.data.splits import PatientSplit

IMAGE = encoded(drawn_image(0))
USABLE = ("a,PA,Mass,train", "b,PA,No Finding,train", "c,PA,Mass,val", "d,PA,No Finding,val")
QUERIES = ("e,PA,Mass,test", "f,PA,No Finding,test")


def study_of(root: Path, *rows: str) -> tuple[Choices, Inspection]:
    """Choices and inspection of a folder; a row is patient, view, findings, split."""
    for number in range(len(rows)):
        (root / f"{number}.png").write_bytes(IMAGE)
    lines = [f"{number}.png,{row}" for number, row in enumerate(rows)]
    (root / "labels.csv").write_text("\n".join(["file,patient_id,view,findings,split", *lines]))
    chosen = Choices(DataChoices((str(root),), ("ward",), ("ward",)))
    return chosen, inspect([(root, "ward", None)], PatientSplit(), most=0)


def refused(chosen: Choices, seen: Inspection) -> str:
    return "; ".join(refusals(chosen, seen, NIH14))


def training(chosen: Choices) -> Choices:
    return replace(chosen, train=TrainChoices(run=True))


def test_a_study_that_can_succeed_is_not_refused(tmp_path: Path) -> None:
    chosen, seen = study_of(tmp_path, *USABLE, *QUERIES)
    assert refused(chosen, seen) == ""
    assert refused(training(chosen), seen) == ""
    assert evaluated_folders(chosen, seen) == [(tmp_path, "ward", "ward")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (USABLE, "no frontal image of the split(s) test to ask with; it has train, val"),
        (QUERIES, "no frontal image of the split(s) train to be found; it has test"),
        (("a,LL,Mass,train",), "no image that is known to be frontal"),
        ((*USABLE, "e,PA,Mass,test", "f,PA,Mass,test"), "both present and absent among the 2"),
        (("a,PA,Mass,train", "a,PA,No Finding,test", "a,PA,Mass,test"), "one patient who asks"),
        ((*USABLE, "a,PA,Mass,test", "f,PA,No Finding,test"), "1 patients of ward are in train or"),
        ((), "no image is listed"),
    ],
    ids=[
        "no queries", "no cases", "no frontal image", "all of one class", "one patient",
        "a patient in two splits", "no image",
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, rows: tuple[str, ...], message: str
) -> None:
    assert message in refused(*study_of(tmp_path, *rows))


def test_a_validation_split_of_one_class_is_refused_before_the_training(tmp_path: Path) -> None:
    rows = [row.replace("c,PA,Mass", "c,PA,No Finding") for row in USABLE]
    chosen, seen = study_of(tmp_path, *rows, *QUERIES)
    assert refused(chosen, seen) == ""
    assert "both present and absent among the 2 images of val" in refused(training(chosen), seen)


def test_a_table_that_is_not_read_is_refused_with_the_command(odd: Path) -> None:
    chosen = Choices(DataChoices((str(odd),), ("odd",), ("odd",)))
    seen = inspect([(odd, "odd", None)], PatientSplit(), most=0)
    assert f"run `xemplar inspect {odd} --fix-columns`" in refused(chosen, seen)


def test_all_missing_packages_are_named_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda _: None)
    chosen, _ = study_of(tmp_path, *USABLE, *QUERIES)
    assert missing_extras(chosen) == ["evaluate"]
    assert missing_extras(training(chosen)) == ["evaluate", "train"]
    (tmp_path / "columns.toml").write_text('table = "export.xlsx"\n[columns]\nfile = "a"\n')
    assert missing_extras(chosen) == ["evaluate", "excel"]


def test_few_patients_and_copies_in_two_splits_are_said(tmp_path: Path) -> None:
    chosen, seen = study_of(tmp_path, *USABLE, *QUERIES)
    assert cautions(chosen, seen) == [
        "2 patients ask: with fewer than 16 there are no intervals",
        "4 pairs of equal images are in two splits",
    ]
    other = replace(chosen, evaluate=EvaluationChoices(splits=("val",)))
    assert cautions(other, seen)[0].startswith("2 patients")
