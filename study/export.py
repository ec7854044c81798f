"""Writes what an archive knows of its cases: Parquet, NumPy or CSV."""

import csv
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from xemplar import __version__
from xemplar.archive.artefact import new_folder
from xemplar.catalog import Case
from xemplar.errors import ConfigurationError
from xemplar.retrieval.archive import Embeddings

NOTICE = (
    "Research use, not for diagnosis. An embedding is personal data wherever the image is: images "
    "of one patient have similar embeddings, so whoever holds another image of a patient can find "
    "the patient's rows here. Keep it as you keep the images. `patient` is a pseudonym of this "
    "archive; equal ones are one patient."
)

DESCRIBED = (
    "case_id", "source", "split", "patient", "view", "sex", "age", "findings", "image_sha256",
)  # fmt: skip
"""Columns of a case; findings are separated by "|"."""


class Format(StrEnum):
    """Forms of an export."""

    PARQUET = "parquet"
    NUMPY = "numpy"
    CSV = "csv"


def export(found: Embeddings, out: Path, form: Format, about: Mapping[str, Any]) -> None:
    """Write cases, probabilities and embeddings into a new folder.

    Args:
        found: of an archive.
        out: new folder.
        form: of the files.
        about: digests, for ``about.json``.

    Raises:
        ConfigurationError: the folder exists, or Parquet is asked for without pyarrow.
    """
    write = _WRITERS[form]
    if form is Format.PARQUET:
        _check_pyarrow()
    with new_folder(out) as beside:
        write(found, beside)
        content = {
            "notice": NOTICE,
            "xemplar": __version__,
            "cases": len(found),
            "findings": list(found.findings),
            "dimension": int(found.vectors.shape[1]),
            **about,
        }
        (beside / "about.json").write_text(json.dumps(content, indent=2) + "\n")


def described(case: Case) -> list[str]:
    """Return the cells of `DESCRIBED`; empty where unknown."""
    values = (
        case.case_id, case.source, case.split, case.patient, case.view, case.sex, case.age,
        "|".join(case.findings), case.image_sha256,
    )  # fmt: skip
    return ["" if value is None else str(value) for value in values]


def _csv(found: Embeddings, folder: Path) -> None:
    _cases(found, folder)
    with (folder / "embeddings.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["case_id", *(f"e{place}" for place in range(found.vectors.shape[1]))])
        for case, vector in zip(found.cases, found.vectors, strict=True):
            rows.writerow([case.case_id, *(f"{value:.7g}" for value in vector)])


def _numpy(found: Embeddings, folder: Path) -> None:
    _cases(found, folder)
    np.save(folder / "embeddings.npy", found.vectors, allow_pickle=False)
    np.save(folder / "probabilities.npy", found.probabilities, allow_pickle=False)


def _cases(found: Embeddings, folder: Path) -> None:
    """Write ``cases.csv``: a row for each case, in the order of the arrays."""
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*DESCRIBED, *(f"probability {name}" for name in found.findings)])
        for case, probabilities in zip(found.cases, found.probabilities, strict=True):
            rows.writerow([*described(case), *(f"{value:.6f}" for value in probabilities)])


def _parquet(found: Embeddings, folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    cells = list(zip(*map(described, found.cases), strict=True)) or [()] * len(DESCRIBED)
    columns: dict[str, Any] = {
        name: pa.array([value or None for value in values], pa.string())
        for name, values in zip(DESCRIBED, cells, strict=True)
    }
    columns["age"] = pa.array([case.age for case in found.cases], pa.int16())
    columns["findings"] = pa.array([list(c.findings) for c in found.cases], pa.list_(pa.string()))
    for place, name in enumerate(found.findings):
        columns[f"probability {name}"] = pa.array(found.probabilities[:, place])
    flat = pa.array(np.ascontiguousarray(found.vectors).ravel())
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, found.vectors.shape[1])
    parquet.write_table(pa.table(columns), folder / "archive.parquet")


def _check_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Parquet needs {error.name}: pip install 'xemplar[export]'; or choose --format numpy"
        ) from error


_WRITERS: Mapping[Format, Callable[[Embeddings, Path], None]] = {
    Format.PARQUET: _parquet,
    Format.NUMPY: _numpy,
    Format.CSV: _csv,
}
