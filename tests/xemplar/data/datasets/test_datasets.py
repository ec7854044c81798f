"""Data set formats: contents, rejected files, and splits."""

import hashlib
from pathlib import Path

import pytest

from xemplar.data.datasets import PATHOLOGIES, DatasetImage, open_dataset, source_names
from xemplar.data.findings import CHEXPERT14, NIH14, canonical
from xemplar.errors import DatasetError, InvalidArgument

# ---- CheXpert -----------------------------------------------------------------------------------

CHEXPERT_HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT14)
FRONTAL = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP"
LATERAL = "CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg,Male,91,Lateral,"


def chexpert(folder: Path, *rows: tuple[str, dict[str, str]], file: str = "train.csv") -> Path:
    lines = [CHEXPERT_HEADER]
    lines += [",".join([start, *(labels.get(f, "") for f in CHEXPERT14)]) for start, labels in rows]
    (folder / file).write_text("\n".join(lines) + "\n")
    return folder


def test_chexpert_labels_are_present_absent_uncertain_or_unknown(tmp_path: Path) -> None:
    labels = {"Edema": "1.0", "Pneumonia": "0.0", "Pleural Effusion": "-1.0", "Fracture": "1"}
    [image] = open_dataset(chexpert(tmp_path, (FRONTAL, labels))).images
    assert image.labels == {"Edema": 1, "Pneumonia": 0, "Effusion": -1, "Fracture": 1}


def test_no_finding_makes_pathologies_absent_and_leaves_devices_unknown(
    tmp_path: Path,
) -> None:
    labels = {"No Finding": "1.0", "Support Devices": "1.0"}
    [image] = open_dataset(chexpert(tmp_path, (FRONTAL, labels))).images
    absent = {canonical(f): 0 for f in PATHOLOGIES}
    assert image.labels == absent | {"No Finding": 1, "Support Devices": 1}
    [bare] = open_dataset(chexpert(tmp_path, (FRONTAL, {"No Finding": "1.0"}))).images
    assert "Support Devices" not in bare.labels


def test_a_chexpert_image_has_its_path_patient_view_sex_and_age(tmp_path: Path) -> None:
    frontal, lateral = open_dataset(chexpert(tmp_path, (FRONTAL, {}), (LATERAL, {}))).images
    assert frontal.path == tmp_path / "train/patient00001/study1/view1_frontal.jpg"
    assert frontal.file == "train/patient00001/study1/view1_frontal.jpg"
    assert (frontal.patient, frontal.view, frontal.sex, frontal.age) == (
        "patient00001", "AP", "F", 68,
    )  # fmt: skip
    assert (lateral.view, lateral.sex, lateral.age) == ("LL", "M", 91)
    assert (frontal.is_frontal, lateral.is_frontal) == (True, False)


def test_chexpert_files_are_two_splits_of_one_set(tmp_path: Path) -> None:
    chexpert(tmp_path, (FRONTAL, {"Edema": "1"}))
    chexpert(tmp_path, (LATERAL, {"Edema": "0"}), file="valid.csv")
    assert [image.split for image in open_dataset(tmp_path).images] == ["train", "val"]


@pytest.mark.parametrize("label", ["2.0", "0.5", "yes", "nan", "inf"])
def test_a_chexpert_label_of_another_value_is_rejected_by_file_and_line(
    tmp_path: Path, label: str
) -> None:
    chexpert(tmp_path, (FRONTAL, {}), (FRONTAL, {"Edema": label}))
    with pytest.raises(DatasetError, match=rf"train\.csv, line 3: label '{label}' of 'Edema'"):
        open_dataset(tmp_path)


# ---- NIH ChestX-ray14 ---------------------------------------------------------------------------

NIH_ROWS = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,
00000001_000.png,Cardiomegaly|Effusion,0,1,058Y,M,PA,
00000002_000.png,No Finding,0,2,81,F,AP,
"""


def nih(folder: Path) -> Path:
    (folder / "Data_Entry_2017_v2020.csv").write_text(NIH_ROWS)
    return folder


def test_nih_labels_are_exhaustive(tmp_path: Path) -> None:
    ill, well = open_dataset(nih(tmp_path)).images
    assert ill.labels == {f: int(f in ("Cardiomegaly", "Effusion")) for f in NIH14}
    assert well.labels == dict.fromkeys(NIH14, 0)


def test_an_nih_image_has_its_patient_view_sex_and_age(tmp_path: Path) -> None:
    ill, well = open_dataset(nih(tmp_path)).images
    assert (ill.patient, ill.view, ill.sex, ill.age) == ("1", "PA", "M", 58)
    assert (well.patient, well.view, well.sex, well.age) == ("2", "AP", "F", 81)


def test_nih_images_are_found_in_any_folder(tmp_path: Path) -> None:
    where = tmp_path / "images_002" / "images"
    where.mkdir(parents=True)
    (where / "00000002_000.png").touch()
    missing, found = open_dataset(nih(tmp_path)).images
    assert found.path == where / "00000002_000.png"
    assert missing.path == tmp_path / "images" / "00000001_000.png"


def test_the_official_test_list_of_nih_is_kept(tmp_path: Path) -> None:
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    assert [image.split for image in open_dataset(nih(tmp_path)).images] == [None, "test"]


# ---- labels.csv ---------------------------------------------------------------------------------


def labelled(folder: Path, *rows: str, header: str = "file,findings") -> Path:
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_a_labels_file_gives_all_its_columns(tmp_path: Path) -> None:
    header = "file,patient_id,view,sex,age,findings,split"
    [image] = open_dataset(
        labelled(tmp_path, "a/b.png,P7,PA,female,63.0,Mass,box", header=header), "ours"
    ).images
    assert image == DatasetImage(
        tmp_path / "a/b.png", "ours", "a/b.png", "P7", {"Mass": 1}, "PA", "F", 63, "box"
    )


@pytest.mark.parametrize(
    ("written", "sex"),
    [("F", "F"), ("male", "M"), ("Mujer", "F"), ("mulher", "F"), ("männlich", "M"), ("Frau", "F"),
     ("Homme", "M"), ("missing", None), ("0", None), ("", None)],
)  # fmt: skip
def test_a_sex_is_parsed_from_the_whole_word(tmp_path: Path, written: str, sex: str | None) -> None:
    folder = labelled(tmp_path, f"1.png,{written},Mass", header="file,sex,findings")
    assert open_dataset(folder).images[0].sex == sex


def test_findings_that_a_labels_file_never_mentions_are_unknown(tmp_path: Path) -> None:
    ill, well, mute = open_dataset(
        labelled(tmp_path, "1.png,Pneumonia|Viral", "2.png,No Finding", "3.png,")
    ).images
    assert ill.labels == {"Pneumonia": 1, "Viral": 1}
    assert well.labels == {"Pneumonia": 0}
    assert mute.labels == {}


def test_a_labels_file_may_begin_with_a_byte_order_mark_and_use_synonyms(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(
        b"\xef\xbb\xbffile,findings\r\n1.png,Pleural Effusion\r\n"
    )
    assert open_dataset(tmp_path).findings == ("Effusion",)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("63", 63),
        ("063Y", 63),
        ("63.0", 63),
        ("0", 0),
        ("", None),
        ("411", None),
        ("-1", None),
        ("nan", None),
        ("NA", None),
        ("-", None),
        ("40 years", 40),
        ("7.5 Jahre", 7),
        ("81 ans", 81),
    ],
)
def test_an_age_is_read_in_years_and_typing_errors_are_unknown(
    tmp_path: Path, age: str, years: int | None
) -> None:
    [image] = open_dataset(
        labelled(tmp_path, f"1.png,Mass,{age}", header="file,findings,age")
    ).images
    assert image.age == years


@pytest.mark.parametrize("age", ["old", "forty years", "inf", "40 years of age"])
def test_an_invalid_age_is_rejected_with_file_and_line(tmp_path: Path, age: str) -> None:
    labelled(tmp_path, "1.png,Mass,3", f"2.png,Mass,{age}", header="file,findings,age")
    with pytest.raises(DatasetError, match=rf"labels\.csv, line 3: age '{age}' is no number"):
        open_dataset(tmp_path)


def test_a_date_for_an_age_is_rejected_as_one(tmp_path: Path) -> None:
    labelled(tmp_path, "1.png,Mass,12.05.1961", header="file,findings,age")
    with pytest.raises(DatasetError, match=r"line 2: age '12.05.1961' is a date"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "/etc/passwd", "..", "", "."]
)
def test_an_image_outside_of_the_folder_is_rejected_by_file_and_line(
    tmp_path: Path, name: str
) -> None:
    labelled(tmp_path, "1.png,Mass", f"{name},Mass")
    with pytest.raises(DatasetError, match=r"labels\.csv, line 3: image .* does not lie in"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["CheXpert/../../secret.jpg", "CheXpert", ""])
def test_a_chexpert_image_outside_of_the_folder_is_rejected(tmp_path: Path, name: str) -> None:
    chexpert(tmp_path, (f"{name},Female,68,Frontal,AP", {}))
    with pytest.raises(DatasetError, match=r"train\.csv, line 2: image .* does not lie in"):
        open_dataset(tmp_path)


def test_an_nih_image_outside_of_the_folder_is_rejected(tmp_path: Path) -> None:
    nih(tmp_path)
    file = tmp_path / "Data_Entry_2017_v2020.csv"
    file.write_text(NIH_ROWS.replace("00000001_000.png", "../../secret.png"))
    with pytest.raises(DatasetError, match=r"Data_Entry_2017_v2020\.csv, line 2: image .*"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,view\n1.png,PA\n", r"labels\.csv lacks the column\(s\) findings"),
        (b"", r"labels\.csv lacks the column\(s\) file, findings"),
        (b"file,findings\n", r"labels\.csv: no image is listed"),
    ],
    ids=["a column is missing", "empty", "no rows"],
)
def test_a_labels_file_that_cannot_be_read_is_rejected(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


# ---- A plain folder -----------------------------------------------------------------------------


def test_a_plain_folder_gives_its_images_by_name_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.PNG", "inner/a.dcm", "letter.txt", "c.jpeg"):
        (tmp_path / name).touch()
    images = open_dataset(tmp_path, "plain").images
    assert [image.path.name for image in images] == ["b.PNG", "c.jpeg", "a.dcm"]
    assert images[0] == DatasetImage(tmp_path / "b.PNG", "plain")


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_folder_without_images_is_rejected(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DatasetError, match=r"there is no folder|holds no label file and no image"):
        open_dataset(tmp_path / folder)


# ---- The data set as a whole --------------------------------------------------------------------


def test_a_data_set_is_named_by_its_folder_and_identified_by_its_label_file(
    tmp_path: Path,
) -> None:
    dataset = open_dataset(labelled(tmp_path, "1.png,Mass"))
    assert dataset.name == tmp_path.name == dataset.images[0].source
    assert dataset.digest == hashlib.sha256(b"file,findings\n1.png,Mass\n").hexdigest()


def test_a_plain_folder_has_the_same_digest_wherever_it_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.png").touch()
    one, other = (open_dataset(tmp_path / place) for place in ("here", "there"))
    assert one.digest == other.digest
    (tmp_path / "there" / "2.png").touch()
    assert open_dataset(tmp_path / "there").digest != one.digest


@pytest.mark.parametrize(
    ("view", "frontal"),
    [("PA", True), ("AP", True), ("AP (paediatric)", True), ("ap", True), ("FRONTAL", True),
     ("LL", False), ("LATERAL", False), (None, False)],
)  # fmt: skip
def test_an_image_is_frontal_only_where_its_view_says_so(view: str | None, frontal: bool) -> None:
    assert DatasetImage(Path("1.png"), "ours", view=view).is_frontal is frontal


# ---- Names of data sets that are used together ---------------------------------------------------


def test_data_sets_have_their_folders_names_or_given_ones(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    assert source_names(roots) == ["a", "b"]
    assert source_names(roots, ["north", "south"]) == ["north", "south"]
    assert source_names([roots[0], roots[0]]) == ["a", "a"]  # one data set, twice


def test_two_folders_are_not_one_data_set(tmp_path: Path) -> None:
    roots = [tmp_path / "h1" / "images", tmp_path / "h2" / "images"]
    with pytest.raises(DatasetError, match=r"would both be called 'images'.*--source"):
        source_names(roots)
    with pytest.raises(DatasetError, match="would both be called 'x'"):
        source_names(roots, ["x", "x"])
    assert source_names(roots, ["h1", "h2"]) == ["h1", "h2"]


def test_each_folder_has_one_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"2 folder\(s\) and 1 name"):
        source_names([tmp_path / "a", tmp_path / "b"], ["a"])
    with pytest.raises(DatasetError, match="needs a name"):
        source_names([tmp_path / "a"], [" "])


# ---- Real data sets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "images", "patients"), [("nih14", 2215, 1655), ("kermany", 5285, None)]
)
def test_a_real_set_is_read_whole_and_split_by_patient(
    real_data: Path, name: str, images: int, patients: int | None
) -> None:
    dataset = open_dataset(real_data / name)
    assert len(dataset.images) == images
    assert all(image.path.is_file() for image in dataset.images)
    splits: dict[str | None, set[str | None]] = {}
    for image in dataset.images:
        splits.setdefault(image.patient, set()).add(image.split)
    assert [patient for patient, names in splits.items() if len(names) > 1] == []
    assert patients in (None, len(splits))


# ---- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1.png,latral,", "unknown view 'latral', perhaps LATERAL; known here: AP"),
        ("1.png,John Doe,", "unknown view 'John Doe'"),
        ("1.png,,1\x1b[2J", "patient_id is '1.x1b.2J': it holds the control character U.001B"),
        ("1.png,,\u202e1", "patient_id is .*U.202E at position 1"),
        ('1.png,"P\nA",', "view is 'P.nA': it holds the control character U.000A"),
    ],
)
def test_control_characters_in_a_table_are_rejected_with_the_line(
    tmp_path: Path, row: str, said: str
) -> None:
    (tmp_path / "1.png").touch()
    header = "file,view,patient_id,findings,notes\n"
    (tmp_path / "labels.csv").write_text(f"{header}{row},,\n")
    with pytest.raises(DatasetError, match=rf"labels\.csv, line [23]: {said}"):
        open_dataset(tmp_path)


def test_views_of_tables_are_kept_by_their_known_names_and_other_columns_may_hold_anything(
    tmp_path: Path,
) -> None:
    for name in "1234":
        (tmp_path / f"{name}.png").touch()
    rows = ['1.png,AP (paediatric),,"two\nlines"', "2.png,pa,,", "3.png,,,", "4.png,N/A,,"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,view,findings,report", *rows]))
    assert [image.view for image in open_dataset(tmp_path).images] == ["AP", "PA", None, None]


def test_a_folder_with_an_invalid_name_needs_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    (folder / "1.png").touch()
    for refused in (open_dataset, lambda one: source_names([one])):
        with pytest.raises(InvalidArgument, match=r"--source\) is .*U\+001B at position 2"):
            refused(folder)
    assert open_dataset(folder, "b").name == "b"
