"""Soft labels in a file: written by a cross-fitting, read instead of another one."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from xemplar.archive.artefact import write_file
from xemplar.cli.terminal import plain
from xemplar.data.csv_table import read_rows
from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import targets
from xemplar.errors import DatasetError

from .settings import TrainingSettings

Probabilities = npt.NDArray[np.float32]

NAMES = ("dataset", "file")
"""Columns that name the image; the others are the findings."""


def write_soft_labels(
    path: Path,
    records: Sequence[DatasetImage],
    findings: Sequence[str],
    probabilities: Probabilities,
) -> None:
    """Writes probabilities (N, F) of N images, one row each."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*NAMES, *findings])
    for record, row in zip(records, probabilities, strict=True):
        rows.writerow([record.source, record.file, *(f"{value:.6f}" for value in row)])
    write_file(path, text.getvalue().encode())


def read_soft_labels(
    path: Path,
    records: Sequence[DatasetImage],
    findings: Sequence[str],
    settings: TrainingSettings,
    console: Console,
) -> Probabilities:
    """Reads the soft labels of training images.

    A blank cell leaves the label as it is, and so does a data set that the file does not name at
    all, which is told. Rows of other images are not used.

    Args:
        path: CSV file with the columns dataset, file and the findings.
        records: of the training images, N.
        findings: columns of the file, the first of the settings' findings.
        settings: of the training; its other outputs (reader heads) have their labels alone.
        console: for notes.

    Returns:
        Float32 (N, F) in [0, 1].

    Raises:
        DatasetError: the file cannot be read, a value is no number from 0 to 1, an image has two
            rows, or images of a data set that the file names have none; with counts.
    """
    count = len(findings)
    rows = dict(_rows(path, findings))
    named = {dataset for dataset, _ in rows}
    missing = [r for r in records if r.source in named and (r.source, r.file) not in rows]
    if missing:
        raise DatasetError(
            f"{path} lacks a row for {len(missing):,} of {len(records):,} training images, the "
            f"first of them {missing[0].file} of {missing[0].source}; add the rows (blank cells "
            "leave the label as it is), or fit soft labels anew with --crossfit"
        )
    without = Counter(record.source for record in records if record.source not in named)
    if len(without) == len({record.source for record in records}):
        raise DatasetError(
            f"{path} names the data sets {', '.join(sorted(named)) or '(none)'}, and the training "
            f"has {', '.join(sorted(without))}; name them alike with --source"
        )
    for source, images in without.items():
        console.print(
            f"[yellow]note[/] {plain(path)} does not name {plain(source)}: its {images:,} "
            "training images have their labels alone"
        )
    found = np.stack([targets(r.labels, settings.findings, settings.uncertain)[0] for r in records])
    for index, record in enumerate(records):
        soft = rows.get((record.source, str(record.file)))
        if soft is not None:
            found[index, :count] = np.where(np.isnan(soft), found[index, :count], soft)
    return found


def _rows(path: Path, findings: Sequence[str]) -> Iterator[tuple[tuple[str, str], Probabilities]]:
    """Yields ((data set, file), probabilities (F,), NaN where blank)."""
    seen, wrong = set[tuple[str, str]](), list[str]()
    for line, row in read_rows(path, (*NAMES, *findings)):
        key = row["dataset"], row["file"]
        if key in seen:
            raise DatasetError(f"{path}, line {line}: {key[1]!r} of {key[0]!r} has a row already")
        seen.add(key)
        values = np.array([_probability(row[finding]) for finding in findings], np.float32)
        wrong += [
            f"line {line}: {finding} is {row[finding][:20]!r}"
            for finding, value in zip(findings, values, strict=True)
            if row[finding] and not 0 <= value <= 1
        ]
        yield key, values
    if wrong:
        raise DatasetError(
            f"{path}: {len(wrong):,} value(s) are no number from 0 to 1; the first in {wrong[0]}"
        )


def _probability(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
