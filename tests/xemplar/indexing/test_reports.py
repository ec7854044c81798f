"""Reports of an index job: scrubbed, mined, left out alone where they cannot be used."""

import csv
from pathlib import Path

import pytest

from tests.images import drawn_image, encoded
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.data.datasets import open_dataset
from xemplar.indexing.job import embed_images
from xemplar.indexing.reports import ReportReader
from xemplar.indexing.result import IndexingResult
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.reports.report import StoredReport

OPENI = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None from Springfield.</AbstractText>
<AbstractText Label="INDICATION">Mary, 65</AbstractText>
<AbstractText Label="FINDINGS">No effusion &amp; no edema.</AbstractText>
<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>
</Abstract></Article></MedlineCitation>
<parentImage id="1"><caption>x</caption></parentImage><parentImage id="2"/></eCitation>
"""


@pytest.fixture
def encoder(tiny: Checkpoint) -> Encoder:
    return open_encoder(tiny, precision=Precision.FLOAT32)


def folder_of(root: Path, count: int, **cells: list[str]) -> Path:
    """A data set whose images have the given cells in further columns."""
    root.mkdir()
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "findings", *cells])
        for number in range(count):
            (root / f"{number}.png").write_bytes(encoded(drawn_image(number)))
            writer.writerow([f"{number}.png", "", *(cells[name][number] for name in cells)])
    return root


def run(
    folder: Path, store: Store, catalog: Catalog, encoder: Encoder, *, mine: bool = False
) -> IndexingResult:
    images = open_dataset(folder, reports=True).images
    reports = ReportReader(mine=mine)
    return embed_images(images, store, catalog, encoder, reports=reports)


def stored(catalog: Catalog) -> dict[str, StoredReport]:
    """The reports by the name of the image."""
    cases = catalog.cases(range(1, 100))
    return {
        str(cases[number].file): one.report for number, one in catalog.reports.of(cases).items()
    }


def test_columns_of_a_table_are_stored_scrubbed(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = folder_of(
        tmp_path / "set",
        3,
        report=[
            "HISTORY: Mary Kowalski.\nFINDINGS: Small effusion.\nIMPRESSION: Effusion.",
            "",
            "",
        ],
        findings_text=["", "Dr. Kowalski reported no edema.", ""],
        impression=["", "No edema.", ""],
    )
    outcome = run(folder, store, catalog, encoder)
    assert (outcome.embedded, outcome.reports, outcome.reports_left_out) == (3, 2, ())
    assert stored(catalog) == {
        "0.png": StoredReport("Small effusion.", "Effusion."),
        "1.png": StoredReport("___ reported no edema.", "No edema."),
    }


def test_text_files_beside_the_images_are_their_reports(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", 2)
    (folder / "0.txt").write_text("FINDINGS: Left nodule.", encoding="utf-8")
    (folder / "reports").mkdir()
    (folder / "reports" / "1.txt").write_text("Right nodule.", encoding="utf-8")
    (folder / "reports" / "readme.txt").write_text("about this set", encoding="utf-8")
    notes = open_dataset(folder, reports=True).notes
    assert "2 of 2 image(s) have a report" in notes
    assert any("1 text or XML file(s) name no image" in note for note in notes)
    run(folder, store, catalog, encoder)
    assert stored(catalog) == {
        "0.png": StoredReport("Left nodule."),
        "1.png": StoredReport("Right nodule."),
    }


def test_xml_of_open_i_names_its_images(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", 3)
    (folder / "study.xml").write_text(OPENI, encoding="utf-8")
    run(folder, store, catalog, encoder)
    report = StoredReport("No effusion no edema.", "Normal chest.")
    assert stored(catalog) == {"1.png": report, "2.png": report}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 10_000_000, "the limit is"),
        ("Erguß".encode("cp1252") + b" rechts", "not in UTF-8"),
        (b"No effusion.\x07", "U+0007"),
        (b"<b>No effusion.</b>", "markup"),
        (b"Der Herzschatten ist normal breit, die Lunge frei von Infiltraten und Stauung.",
         "English"),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_used_is_left_out_and_its_image_is_not(
    store: Store,
    catalog: Catalog,
    encoder: Encoder,
    tmp_path: Path,
    content: bytes,
    message: str,
) -> None:
    folder = folder_of(tmp_path / "set", 2)
    (folder / "0.txt").write_bytes(content)
    (folder / "1.txt").write_text("No effusion.", encoding="utf-8")
    outcome = run(folder, store, catalog, encoder)
    (left_out,) = outcome.reports_left_out
    assert left_out.path.name == "0.png"
    assert message in left_out.reason
    assert (outcome.embedded, set(stored(catalog))) == (2, {"1.png"})


def test_labels_are_mined_where_there_are_none_and_say_so(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = folder_of(
        tmp_path / "set", 2, findings_text=["Effusion. No edema.", "Possible pneumonia."]
    )
    run(folder, store, catalog, encoder, mine=True)
    cases = catalog.cases([1, 2])
    assert cases[1].labels == {"Effusion": 1, "Edema": 0}
    assert cases[2].labels == {"Pneumonia": -1}
    assert all(one.mined for one in catalog.reports.of([1, 2]).values())


def test_labels_of_the_data_set_are_not_replaced_by_mined_ones(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "0.png").write_bytes(encoded(drawn_image(0)))
    (folder / "labels.csv").write_text("file,findings,impression\n0.png,Mass,Effusion.\n")
    run(folder, store, catalog, encoder, mine=True)
    assert catalog.cases([1])[1].labels == {"Mass": 1}
    assert not catalog.reports.of([1])[1].mined


def test_without_a_reader_of_reports_none_is_stored(
    store: Store, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "set", 1, impression=["Effusion."])
    embed_images(open_dataset(folder).images, store, catalog, encoder)
    assert not any(case.has_report for case in catalog.cases([1, 2]).values())
