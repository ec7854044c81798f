"""Findings in label files: matched where safe, else rejected, kept or dropped."""

from pathlib import Path

import pytest

from xemplar.data.datasets import Dataset, open_dataset
from xemplar.data.findings import CHEXPERT14, NIH14, UnknownFindings
from xemplar.errors import DatasetError

REFUSE, KEEP, DROP = UnknownFindings


def labelled(folder: Path, *findings: str, unknown: UnknownFindings = REFUSE) -> Dataset:
    rows = [f'{number}.png,"{names}"' for number, names in enumerate(findings)]
    (folder / "labels.csv").write_text("\n".join(["file,findings", *rows]) + "\n")
    return open_dataset(folder, unknown_findings=unknown)


def nih(folder: Path, *findings: str, unknown: UnknownFindings = REFUSE) -> Dataset:
    rows = [f'{number}.png,"{names}",{number},PA' for number, names in enumerate(findings)]
    header = "Image Index,Finding Labels,Patient ID,View Position"
    (folder / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    return open_dataset(folder, unknown_findings=unknown)


@pytest.mark.parametrize("form", [labelled, nih])
def test_a_finding_is_known_in_any_spelling_and_by_synonyms(form, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    dataset = form(tmp_path, " pleural effusion|MASS", "pleural-thickening|Oedema", "normal")
    present = [
        {name for name, label in image.labels.items() if label == 1} for image in dataset.images
    ]
    assert present == [{"Effusion", "Mass"}, {"Pleural_Thickening", "Edema"}, set()]
    assert [image.labels["Mass"] for image in dataset.images] == [1, 0, 0]
    assert dataset.notes == ()


@pytest.mark.parametrize("form", [labelled, nih])
def test_unknown_findings_are_rejected_with_line_and_nearest_known_ones(
    form, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DatasetError) as refused:
        form(tmp_path, "Mass", "Pleural effusion, small; Cardiomegalie", "Gout", "Gout|Edema")
    message = str(refused.value)
    assert "2 name(s) of findings are not known" in message
    assert ", line 3); findings are separated by '|'; nearest: Effusion, Cardiomegaly\n" in message
    assert "'Gout' (" in message
    assert ", line 4 and 1 more)" in message
    assert "--unknown-findings keep or drop" in message


@pytest.mark.parametrize("separator", [";", ",", "; "])
def test_known_findings_between_other_separators_are_not_guessed(
    tmp_path: Path, separator: str
) -> None:
    with pytest.raises(DatasetError, match=r"separated by '\|'; nearest: Effusion, Mass"):
        labelled(tmp_path, separator.join(["Effusion", "Mass"]))


@pytest.mark.parametrize("form", [labelled, nih])
@pytest.mark.parametrize("unknown", [KEEP, DROP])
def test_a_row_with_unknown_findings_makes_nothing_absent(  # type: ignore[no-untyped-def]
    form, tmp_path: Path, unknown: UnknownFindings
) -> None:
    dataset = form(
        tmp_path,
        "Cardiomegaly|Effusion",
        "Pleural effusion, small; Cardiomegalie",
        "Effusion|Sarcoid",
        "No Finding|Sarcoid",
        unknown=unknown,
    )
    kept = unknown is KEEP
    assert [image.labels for image in dataset.images[1:]] == [
        {"Pleural effusion, small; Cardiomegalie": 1} if kept else {},
        {"Effusion": 1, "Sarcoid": 1} if kept else {"Effusion": 1},
        {"Sarcoid": 1} if kept else {},
    ]
    [note] = dataset.notes
    assert f"unknown findings {'kept' if kept else 'dropped'}: 'Sarcoid'" in note
    assert "the 3 row(s) with them do not list counts as unknown" in note


def test_the_digest_depends_on_the_policy_for_unknown_findings(tmp_path: Path) -> None:
    digests = {labelled(tmp_path, "Sarcoid", unknown=unknown).digest for unknown in (KEEP, DROP)}
    assert len(digests) == 2
    assert labelled(tmp_path, "Mass").digest not in digests


@pytest.mark.parametrize("form", [labelled, nih])
def test_a_row_without_findings_leaves_all_unknown(form, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    mute, empty, _ = form(tmp_path, "", "|", "Mass").images
    assert mute.labels == empty.labels == {}


def test_an_image_that_is_listed_twice_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Mass\n./1.png,Edema\n")
    with pytest.raises(DatasetError, match=r"line 3: image '\./1\.png' is listed .*line 2 already"):
        open_dataset(tmp_path)


def test_a_missing_chexpert_column_is_reported_with_the_nearest(tmp_path: Path) -> None:
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14]
    (tmp_path / "train.csv").write_text(",".join(header).replace("Pleural Effusion", "Effusions"))
    with pytest.raises(DatasetError, match=r"lacks the column\(s\) Pleural Effusion"):
        open_dataset(tmp_path)


def test_the_findings_of_all_three_vocabularies_are_known(tmp_path: Path) -> None:
    names = "|".join([*NIH14, *CHEXPERT14[1:], "Bacterial", "Viral"])
    [image] = labelled(tmp_path, names).images
    assert set(image.labels.values()) == {1}
