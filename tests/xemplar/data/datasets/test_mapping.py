"""``columns.toml``, and how it is suggested."""

from pathlib import Path

import pytest

from tests.images import drawn_image, encoded
from xemplar.data.datasets import open_dataset
from xemplar.data.datasets.mapping import TableMapping, mapping_text, read_mapping
from xemplar.data.datasets.suggestion import Suggestion, suggest_mapping
from xemplar.data.findings import UnknownFindings
from xemplar.errors import DatasetError


def write(folder: Path, text: str) -> Path:
    file = folder / "columns.toml"
    file.write_text(text)
    return file


def suggested(folder: Path, header: str, *rows: str) -> Suggestion:
    for number in range(len(rows)):
        (folder / f"{number}.png").write_bytes(encoded(drawn_image(number)))
    (folder / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    found = suggest_mapping(folder, folder / "t.csv")
    assert found is not None
    return found


def test_a_folder_is_read_as_its_mapping_says(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("bild;wer;was\n1.png;a;Stauung, Erguss\n2.png;b;Mass\n")
    write(
        tmp_path,
        'table = "x.csv"\nseparator = ","\n[columns]\nfile = "bild"\npatient_id = "wer"\n'
        'findings = "was"\n[findings]\n"Stauung" = "Edema"\n"Erguss" = "Effusion"\n',
    )
    one, other = open_dataset(tmp_path).images
    assert (one.patient, other.patient) == ("a", "b")
    assert one.labels == {"Edema": 1, "Effusion": 1, "Mass": 0}


def test_a_mapping_is_a_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("bild,was\n1.png,Mass\n")
    digests = set()
    for renamed in ("Mass", "Nodule"):
        write(
            tmp_path,
            f'[columns]\nfile = "bild"\nfindings = "was"\n[findings]\nMass = "{renamed}"\n',
        )
        digests.add(open_dataset(tmp_path).digest)
    assert len(digests) == 2


def test_what_the_caller_names_wins(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("bild,name\n1.png,2.png\n")
    write(tmp_path, '[columns]\nfile = "bild"\n')
    assert open_dataset(tmp_path).images[0].file == "1.png"
    assert open_dataset(tmp_path, columns={"file": "name"}).images[0].file == "2.png"


def test_unknown_findings_are_kept_where_the_mapping_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("bild,was\n1.png,Gout\n")
    write(tmp_path, 'unknown_findings = "keep"\n[columns]\nfile = "bild"\nfindings = "was"\n')
    assert open_dataset(tmp_path).findings == ("Gout",)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    mapping = TableMapping(
        Path("a b.csv"),
        {"file": 'with "quotes"', "findings": "Befund ß\\"},
        ";",
        {"Stauung": "Edema"},
        UnknownFindings.DROP,
    )
    file = write(tmp_path, mapping_text(mapping, {"Gouty": "Edema"}))
    assert read_mapping(file) == mapping
    assert '# "Gouty" = "Edema"' in file.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table = ", "is no TOML"),
        ("tabel = 'x.csv'", "tabel is unknown, perhaps table"),
        ("[columns]\nfiel = 'x'", "columns.fiel is unknown, perhaps file"),
        ("[columns]\nview = 'x'", "does not name the column of the image file"),
        ("[columns]\nfile = 3", "must be a table of texts"),
        ("table = 3", "table is 3, and must be a text"),
        ("separator = ' '", "separator is ' '"),
        ("unknown_findings = 'guess'", "none of refuse, keep, drop"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_mapping(write(tmp_path, text))


def test_columns_are_found_by_their_cells(tmp_path: Path) -> None:
    found = suggested(tmp_path, "a,b,c,d", "0.png,PA,Mass,7", "1.png,AP,Edema,8", "2.png,PA,,9")
    assert found.mapping.columns == {"file": "a", "findings": "c", "view": "b"}


def test_a_column_of_dates_is_no_age_and_that_is_said_without_a_date(tmp_path: Path) -> None:
    found = suggested(tmp_path, "image,age", "0.png,12.05.1961", "1.png,13.05.1961")
    assert "age" not in found.mapping.columns
    assert "'age' is not read as age" in found.doubts[0]
    assert "1961" not in found.doubts[0]


def test_patient_ids_that_excel_shortened_are_doubted(tmp_path: Path) -> None:
    found = suggested(tmp_path, "image,patient", "0.png,1.23457E+12", "1.png,1.23457E+12")
    assert found.mapping.columns["patient_id"] == "patient"
    assert "shortened by Excel" in found.doubts[0]


@pytest.mark.parametrize(
    "header", ["Patientennr.", "Identifiant patient", "Patient_Number", "N° patient", "Pat.-Nr."]
)
def test_a_column_of_patients_is_known_by_its_words(tmp_path: Path, header: str) -> None:
    found = suggested(tmp_path, f"image,{header}", "0.png,7", "1.png,8")
    assert found.mapping.columns["patient_id"] == header


def test_a_table_without_patients_is_doubted(tmp_path: Path) -> None:
    found = suggested(tmp_path, "image,Patientenname", "0.png,A", "1.png,B")
    assert "patient_id" not in found.mapping.columns
    assert "no column is known to name patients" in found.doubts[0]
    assert '# patient_id = "..."' in mapping_text(found.mapping)


def test_findings_on_lines_of_a_cell_are_read(tmp_path: Path) -> None:
    found = suggested(tmp_path, "image,label", '0.png,"Mass\nEdema"', "1.png,Mass")
    write(tmp_path, mapping_text(found.mapping))
    assert open_dataset(tmp_path).images[0].labels == {"Mass": 1, "Edema": 1}


def test_similar_names_are_suggested_and_not_taken(tmp_path: Path) -> None:
    found = suggested(tmp_path, "image,label", "0.png,Mass", "1.png,Mass; Pneumonai")
    assert found.mapping.separator == ";"
    assert found.similar == {"Pneumonai": "Pneumonia"}
    assert found.mapping.findings == {}


def test_a_table_of_something_else_has_no_suggestion(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert suggest_mapping(tmp_path, tmp_path / "t.csv") is None
