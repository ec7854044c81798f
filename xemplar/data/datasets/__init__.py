"""Data sets -> `DatasetImage` records: the path and labels of each image.

Four formats are recognised by the contents of the folder:

=================================  ==============================================================
``train.csv`` and/or ``valid.csv``  CheXpert (Irvin et al., AAAI 2019)
``Data_Entry_2017*.csv``            NIH ChestX-ray14 (Wang et al., CVPR 2017)
``labels.csv``                      file, patient_id, view, sex, age, findings ('|' between), split,
                                   followup, day, outcome, proof, outcome_day (see `course`)
                                   report, findings_text, impression
none of them                        a plain folder of images without labels
=================================  ==============================================================

Any other table is read like a ``labels.csv`` if its columns are mapped: by the caller, or by a file
``columns.toml`` in the folder (`xemplar.data.datasets.mapping`).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xemplar.data.csv_table import READABLE
from xemplar.data.datasets.discovery import (
    HIDDEN,
    NOT_LABELS,
    SUFFIXES,
    TABLE_SUFFIXES,
    FolderContents,
    scan_folder,
)
from xemplar.data.datasets.formats import PATHOLOGIES, chexpert, labelled, nih
from xemplar.data.datasets.label_table import NAME_COLUMNS, LabelReader
from xemplar.data.datasets.mapping import COLUMNS, MAPPING, TableMapping, read_mapping
from xemplar.data.datasets.records import (
    TEST,
    TRAIN,
    VAL,
    Dataset,
    DatasetImage,
    LabelTable,
    WrittenReport,
    identity_domains,
    some_of,
    source_names,
)
from xemplar.data.datasets.report_files import find_reports
from xemplar.data.findings import UnknownFindings
from xemplar.errors import DatasetError
from xemplar.names import check_name

__all__ = [
    "COLUMNS",
    "PATHOLOGIES",
    "SUFFIXES",
    "TEST",
    "TRAIN",
    "VAL",
    "Dataset",
    "DatasetImage",
    "LabelTable",
    "WrittenReport",
    "identity_domains",
    "open_dataset",
    "source_names",
]

CHEXPERT, NIH, LABELS = ("train.csv", "valid.csv"), "Data_Entry_2017*.csv", "labels.csv"


def open_dataset(
    root: Path,
    name: str | None = None,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    unknown_findings: UnknownFindings = UnknownFindings.REFUSE,
    patients: str | None = None,
    reports: bool = False,
    mapping: TableMapping | None = None,
) -> Dataset:
    """Read a folder's label file, detecting its format. No image is opened.

    Args:
        root: the folder.
        name: name of the data set; None for the folder's name.
        table: label file to read like a ``labels.csv``; None to detect it.
        columns: one of `COLUMNS` -> its name in the table. Without ``table``, applies to the
            folder's only table (CSV, TSV, XLSX). Without both, its ``columns.toml`` counts.
        unknown_findings: policy for findings outside the vocabulary.
        patients: identity domain of its patient ids; None for its own (`DatasetImage.domain`).
        reports: look for files of reports beside images without one (`find_reports`).
        mapping: how the table is read, in place of ``table``, ``columns`` and ``columns.toml``.

    Raises:
        DatasetError: no such folder, no images, or an unusable label file; the message states file,
            line and reason.
        InvalidArgument: a name with control characters.
    """
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}")
    name = check_name(name or root.resolve().name, "the name of a data set (--source)")
    if mapping is None and table is None and not columns and (root / MAPPING).is_file():
        mapping = read_mapping(root / MAPPING)
        if unknown_findings is UnknownFindings.REFUSE:
            unknown_findings = mapping.unknown_findings
    mapping = mapping or TableMapping(table, columns or {})
    reader = LabelReader(root, name, unknown_findings, mapping)
    contents = None
    if mapping.names_a_table:
        used = [_table(root, mapping.table)]
        wanted = ("file",) if mapping.columns else ("file", "findings")
        radiographs = list(labelled(used[0], reader, wanted))
    else:
        radiographs, used = _recognised(root, reader)
    if not used:
        contents = scan_folder(root)
        radiographs = [DatasetImage(path=path, source=reader.source) for path in contents.images]
    reader.finish()
    if not radiographs:
        raise DatasetError(_no_images(root, used, contents))
    if patients is not None:
        radiographs = [replace(radiograph, patients=patients) for radiograph in radiographs]
    if reports:
        radiographs, notes = find_reports(root, radiographs)
        reader.notes.extend(notes)
    return Dataset(
        name=reader.source,
        root=root,
        images=tuple(radiographs),
        findings=tuple(
            sorted({finding for radiograph in radiographs for finding in radiograph.labels})
        ),
        digest=_digest(root, radiographs, used, [*mapping.options, unknown_findings]),
        skipped=contents.skipped if contents else {},
        notes=(*reader.notes, *_unread(root, used, contents, len(radiographs))),
        tables=tuple(reader.tables),
    )


def _recognised(root: Path, reader: LabelReader) -> tuple[list[DatasetImage], list[Path]]:
    """Read the label files of a recognised format: images and files, empty if there are none."""
    found = sorted(root.glob(NIH))
    tables = [root / file for file in CHEXPERT if (root / file).is_file()]
    if (root / LABELS).is_file():
        return list(labelled(root / LABELS, reader, ("file", "findings"))), [root / LABELS]
    if found:
        return list(nih(found[0], reader)), found[:1]
    return [radiograph for file in tables for radiograph in chexpert(file, reader)], tables


def _table(root: Path, named: Path | None) -> Path:
    """Find the given label file, relative to the folder or not; else the folder's only table."""
    if named is not None:
        found = [path for path in (root / named, named) if path.is_file()]
        if not found:
            raise DatasetError(f"there is no table {named}, neither in {root} nor elsewhere")
        return found[0]
    tables = [path for path in _beside(root) if path.suffix.lower() in READABLE]
    if len(tables) != 1:
        there = f": {some_of([path.name for path in tables])}" if tables else ""
        raise DatasetError(
            f"{root} holds {len(tables)} tables (CSV, TSV, XLSX){there}; name one with --table"
        )
    return tables[0]


def _beside(root: Path) -> list[Path]:
    """List tables in the folder itself that may contain labels."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in TABLE_SUFFIXES
        and path.name not in NOT_LABELS
        and not path.name.startswith(HIDDEN)
        and path.is_file()
    )


def _unread(
    root: Path, used: Sequence[Path], contents: FolderContents | None, radiographs: int
) -> list[str]:
    """Note the tables that were found but not read."""
    seen = contents.tables if contents else _beside(root)
    names = [
        path.relative_to(root).as_posix()
        for path in seen
        if path not in used and path.name not in NOT_LABELS
    ]
    if not names:
        return []
    unlabelled = f"; the {radiographs:,} image(s) of {root} have no labels" if contents else ""
    return [f"seen and not read: {some_of(names)}{unlabelled}; {NAME_COLUMNS}"]


def _no_images(root: Path, used: Iterable[Path], contents: FolderContents | None) -> str:
    if contents is None:
        return f"{' and '.join(map(str, used))}: no image is listed"
    skipped = ", ".join(f"{reason}: {n:,}" for reason, n in contents.skipped.items())
    return (
        f"{root} holds no label file and no image (PNG, JPEG, TIFF, DICOM)"
        f"{f', but {skipped}' if skipped else ''}; name the folder that contains labels.csv, "
        "Data_Entry_2017.csv, train.csv or images"
    )


def _digest(
    root: Path, radiographs: Iterable[DatasetImage], used: Iterable[Path], options: Sequence[object]
) -> str:
    hashed = hashlib.sha256()
    names = [
        radiograph.path.relative_to(root).as_posix().encode() + b"\n" for radiograph in radiographs
    ]
    for part in [file.read_bytes() for file in used] or names:
        hashed.update(part)
    if options != [UnknownFindings.REFUSE]:
        hashed.update(repr([str(option) for option in options]).encode())
    return hashed.hexdigest()
