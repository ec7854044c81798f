"""Formats of label files: each function yields the images of a table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from xemplar.data.datasets.course import course_of, followup_of
from xemplar.data.datasets.label_table import LabelReader, age_of, exhaustive, sex_of, view_of
from xemplar.data.datasets.mapping import COLUMNS, TEXTS
from xemplar.data.datasets.records import TEST, TRAIN, VAL, DatasetImage
from xemplar.data.datasets.report_files import written_report
from xemplar.data.findings import CHEXPERT14, NIH14, NO_FINDING, canonical
from xemplar.data.readings import READINGS
from xemplar.errors import DatasetError

PATHOLOGIES = tuple(f for f in CHEXPERT14 if f not in (NO_FINDING, "Support Devices"))


def labelled(file: Path, reader: LabelReader, wanted: Sequence[str]) -> Iterator[DatasetImage]:
    """Read a ``labels.csv``.

    Assumes that readers assessed every finding that occurs anywhere in the set: it is absent from
    images that list only others. Findings that never occur are unknown, so "No Finding" in a set
    about pneumonia says nothing about hernia. Names beyond NIH's 14 (Bacterial, Viral) are present
    where listed and unknown elsewhere. Columns of `READINGS` are other readers' classes.
    """
    optional = [name for name in (*COLUMNS, *READINGS) if name not in TEXTS]
    rows = list(reader.rows(file, wanted, optional, TEXTS))
    listed = [reader.findings(row.get("findings", ""), where) for where, row in rows]
    vocabulary = {name for names, _ in listed for name in names} & set(NIH14)
    for (where, row), (names, understood) in zip(rows, listed, strict=True):
        path = reader.image(row["file"], where)
        yield DatasetImage(
            path=path,
            source=reader.source,
            file=reader.images.name_of(path, row["file"]),
            patient=row.get("patient_id") or None,
            labels=exhaustive(names, understood, vocabulary),
            view=view_of(row.get("view", ""), where),
            sex=sex_of(row.get("sex", "")),
            age=age_of(row.get("age", ""), where),
            split=row.get("split") or None,
            readings=reader.readings(row),
            **course_of(row, where),
            report=written_report(*(row.get(name, "") for name in TEXTS)),
        )


def nih(file: Path, reader: LabelReader) -> Iterator[DatasetImage]:
    """Read ``Data_Entry_2017.csv``; images in an adjacent ``test_list.txt`` are the test split."""
    test = file.parent / "test_list.txt"
    held_out = set(test.read_text().split()) if test.is_file() else set()
    wanted = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    optional = ("Patient Gender", "Patient Sex", "Patient Age", "Follow-up #")
    for where, row in reader.rows(file, wanted, optional):
        name = row["Image Index"]
        path = reader.image(name, where, "images")
        yield DatasetImage(
            path=path,
            source=reader.source,
            file=reader.images.name_of(path, name),
            patient=row["Patient ID"] or None,
            labels=exhaustive(*reader.findings(row["Finding Labels"], where), NIH14),
            view=view_of(row["View Position"], where),
            sex=sex_of(row.get("Patient Gender") or row.get("Patient Sex") or ""),
            age=age_of(row.get("Patient Age", ""), where),
            split=TEST if name in held_out else None,
            followup=followup_of(row.get("Follow-up #", ""), where),
        )


def chexpert(file: Path, reader: LabelReader) -> Iterator[DatasetImage]:
    """Read ``train.csv`` or ``valid.csv``: 1.0, 0.0, -1.0 or blank (not mentioned: unknown).

    The labeller defines "No Finding" as the absence of every pathology.
    """
    names = {finding: canonical(finding) for finding in CHEXPERT14}
    for where, row in reader.rows(
        file, ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14)
    ):
        # paths begin with the release's name: CheXpert-v1.0-small/train/patient00001/...
        named = row["Path"]
        inside = named if named.startswith("/") else named.partition("/")[2]
        patient = next((p for p in inside.split("/") if p.startswith("patient")), None)
        labels = {name: _label(row[f], f, where) for f, name in names.items() if row[f]}
        if labels.get(NO_FINDING) == 1:
            labels = {names[finding]: 0 for finding in PATHOLOGIES} | labels
        path = reader.image(inside, where)
        yield DatasetImage(
            path=path,
            source=reader.source,
            file=reader.images.name_of(path, inside),
            patient=patient,
            labels=labels,
            view=view_of(row["AP/PA"], where)
            or ("LL" if row["Frontal/Lateral"] == "Lateral" else "FRONTAL"),
            sex=sex_of(row["Sex"]),
            age=age_of(row["Age"], where),
            split=VAL if file.name == "valid.csv" else TRAIN,
        )


def _label(text: str, finding: str, where: str) -> int:
    label = {"1": 1, "0": 0, "-1": -1}.get(text.removesuffix(".0"))
    if label is None:
        raise DatasetError(f"{where}: label {text!r} of {finding!r} is none of 1, 0, -1 and blank")
    return label
