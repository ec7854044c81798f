"""What an inspection tells of folders, usual and odd ones."""

import shutil
from pathlib import Path

import pytest
from xemplar_study.inspection import Inspection, inspect
from xemplar_study.overview import overview
from xemplar_study.page import inspection_page

from tests.images import dicom, drawn_image, encoded
from xemplar.data.splits import PatientSplit
from xemplar.phantom import write_phantoms


def seen_in(*roots: Path, most: int = 100) -> Inspection:
    return inspect([(root, root.name, None) for root in roots], PatientSplit(), most=most)


def told(seen: Inspection) -> str:
    """All sentences and tables, in one text."""
    return "\n".join(
        line
        for part in overview(seen)
        for line in (
            *(part.title, *part.sentences, *part.details),
            *(" ".join(row) for row in part.rows),
        )
    )


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspected") / "phantoms"
    write_phantoms(root, 20, size=64)
    return root


def test_a_data_set_is_told_as_index_reads_it(phantoms: Path) -> None:
    text = told(seen_in(phantoms))
    assert "labels.csv is read: utf-8, commas between cells." in text
    assert "format PNG 20" in text
    assert "size 64 x 64 20" in text
    assert "20 patients." in text
    assert "train 14 14" in text
    assert "20 of 20 images are known to be frontal." in text
    assert "0 pairs of files equal byte for byte." in text


def test_nothing_in_the_folder_is_changed(odd: Path) -> None:
    before = sorted(odd.rglob("*"))
    seen_in(odd)
    assert sorted(odd.rglob("*")) == before


def test_an_unknown_table_is_not_read_and_a_mapping_is_suggested(odd: Path) -> None:
    seen = seen_in(odd)
    suggestion = seen.folders[0].suggestion
    assert suggestion is not None
    assert suggestion.mapping.columns == {
        "file": "Bilddatei",
        "findings": "Befund",
        "view": "Projektion",
        "sex": "Geschlecht",
        "age": "Alter",
        "patient_id": "Patienten-ID",
    }
    assert suggestion.mapping.separator == ";"
    text = told(seen)
    assert "No table is read yet. Export Röntgen.csv can be; `--fix-columns` writes how:" in text
    assert "40 of 40 images are known to be frontal." in text
    assert "20 patients." in text


def test_copies_are_found_byte_for_byte_and_in_other_formats_across_splits(
    phantoms: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copied"
    shutil.copytree(phantoms, root)
    lines = (root / "labels.csv").read_text().splitlines()
    first = root / next(line for line in lines if line.endswith("train")).split(",")[0]
    shutil.copyfile(first, root / "images" / "again.png")
    pixels = drawn_image(5, 300, 300)
    (root / "images" / "film.dcm").write_bytes(dicom(pixels))
    (root / "images" / "film.jpg").write_bytes(encoded(pixels, "JPEG", quality=80))
    rows = [
        "images/again.png,another,PA,F,40,Effusion,test",
        "images/film.dcm,one,PA,F,40,Effusion,train",
        "images/film.jpg,two,PA,F,40,Effusion,test",
    ]
    (root / "labels.csv").write_text("\n".join([*lines, *rows]) + "\n")
    seen = seen_in(root)
    assert len(seen.copied) == 1
    assert {image.path.name for pair in seen.nearly_copied for image in pair} == {
        "film.dcm",
        "film.jpg",
    }
    text = told(seen)
    assert "1 pairs of files equal byte for byte; of them 1 in two splits and 1 of two" in text
    assert "names occur with two suffixes" in text
    assert "Near-duplicates" in inspection_page(seen)


def test_damaged_and_missing_images_are_counted_by_reason(tmp_path: Path) -> None:
    for name, content in (("1.png", encoded(drawn_image(1))), ("2.png", b"nothing")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "labels.csv").write_text("file,findings\n1.png,Mass\n2.png,Mass\n3.png,Mass\n")
    seen = seen_in(tmp_path)
    assert {path.name for path, _ in seen.unreadable} == {"2.png", "3.png"}
    assert "2 cannot be read" in told(seen)


def test_headers_of_dicom_files_tell_what_no_table_does(tmp_path: Path) -> None:
    pixels = drawn_image(1, 200, 200)
    (tmp_path / "IM1").write_bytes(dicom(pixels, ViewPosition="PA", PatientSex="F"))
    (tmp_path / "1.png").write_bytes(encoded(drawn_image(2)))
    text = told(seen_in(tmp_path))
    assert "format DICOM 1" in text
    assert "view PA 1" in text
    assert "sex F 1" in text
    assert "view unknown 1" in text


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    seen = seen_in(tmp_path)
    assert seen.folders[0].dataset is None
    assert "no image (PNG, JPEG, TIFF, DICOM), but no image: 1" in told(seen)
    assert inspection_page(seen)


def test_what_a_refusal_quotes_is_not_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,findings,age\n1.png,Mass,12.05.1961\n")
    seen = seen_in(tmp_path)
    assert "12.05.1961" in told(seen)
    page = inspection_page(seen)
    assert "Not readable as it is." in page
    assert "1961" not in page


def test_one_image_of_one_class_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encoded(drawn_image(1)))
    (tmp_path / "labels.csv").write_text("file,patient_id,view,findings\n1.png,p,PA,Mass\n")
    text = told(seen_in(tmp_path))
    assert "1 patients." in text
    assert "Mass 1 / 0" in text


def test_only_so_many_images_are_decoded_and_that_is_said(phantoms: Path) -> None:
    seen = seen_in(phantoms, most=5)
    assert len(seen.pictures) == 5
    assert "5 of them were decoded, evenly spread" in told(seen)


def test_patients_in_two_splits_are_an_alarm(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(encoded(drawn_image(number)))
    (tmp_path / "labels.csv").write_text(
        "file,patient_id,findings,split\n1.png,p,Mass,train\n2.png,p,Mass,test\n"
    )
    [part] = [p for p in overview(seen_in(tmp_path)) if p.title == "Patients and splits"]
    assert part.alarming
    assert "1 patients have images in more than one split" in " ".join(part.sentences)


def test_the_page_holds_everything_and_names_no_file_or_patient(odd: Path) -> None:
    page = inspection_page(seen_in(odd))
    assert "data:image/jpeg;base64," in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "röntgen 1" not in page
    assert "P1" not in page.split("<main>")[0]
    assert "Research use, not for diagnosis" in page
