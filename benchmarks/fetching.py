"""Back-indexing of a real Orthanc, killed and resumed, beside ``xemplar index`` on the same files.

Small phantoms, each a DX image of a study of its own, are written to a folder and sent to an
Orthanc with DICOMweb on the loopback, which shares the processors. Then

    xemplar index FOLDER               the plain indexer
    xemplar dicom fetch ORTHANC        killed (SIGKILL) at a quarter, half and three quarters

fill a store each, without publishing. Seconds are from the start of each command to its end or
kill, of all four runs together for the archive, so that what is fetched twice counts. At the end
the two catalogs are compared, row by row and bit by bit, but for the pseudonyms of patients, which
a folder does not have.

    python -m benchmarks.fetching --count 1000
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from tests.images import dicom
from tests.system.common import Process, count_cases
from tests.system.orthanc import Orthanc
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, open_catalog
from xemplar.catalog.tables import CaseRow, EmbeddingRow
from xemplar.model.checkpoint import default_checkpoint
from xemplar.phantom.radiograph import phantom

STUDIES = "1.2.826.0.1.3680043.99"
PASSING = ("id", "created_at", "change", "patient")


def films(folder: Path, archive: Orthanc, count: int, side: int) -> None:
    """Write DX images of phantoms, and send each to the archive."""
    folder.mkdir()
    with httpx2.Client(base_url=archive.url, timeout=60) as client:
        for number in range(count):
            file = dicom(
                phantom(number, size=side).pixels,
                StudyInstanceUID=f"{STUDIES}.1.{number}",
                SeriesInstanceUID=f"{STUDIES}.2.{number}",
                SOPInstanceUID=f"{STUDIES}.3.{number}",
                PatientID=f"P{number // 2}",
                PatientName="",
                StudyDate="20240229",
                BodyPartExamined="CHEST",
            )
            (folder / f"{number:06}.dcm").write_bytes(file)
            client.post("/instances", content=file).raise_for_status()


def seconds(process: Process, done: Callable[[], bool] = lambda: False) -> float:
    """Wait until a command ends, or kill it once something is so; return how long it ran."""
    began = time.monotonic()
    while process.lives:
        if done():
            process.kill()
            return time.monotonic() - began
        time.sleep(0.05)
    if process.wait() != 0:
        raise RuntimeError(process.said[-2000:])
    return time.monotonic() - began


def rows(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Case id -> what is stored of the case, its embedding and maps."""
    columns = (*CaseRow.__table__.columns, EmbeddingRow.vector, EmbeddingRow.logits)
    query = select(*columns, EmbeddingRow.cams).join(EmbeddingRow)
    with catalog.engine.connect() as connection:
        return {
            row["case_id"]: {name: row[name] for name in row if name not in PASSING}
            for row in connection.execute(query).mappings()
        }


def vector(row: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The embedding in a row, float32 (C,)."""
    return np.frombuffer(row["vector"], np.float32)


def difference(first: Store, second: Store) -> str:
    """Say how two catalogs differ."""
    with open_catalog(first.database_url) as one, open_catalog(second.database_url) as other:
        left, right = rows(one), rows(other)
    if left == right:
        return "the catalogs are equal, bit by bit"
    both = left.keys() & right.keys()
    worst = max(float(np.abs(vector(left[one]) - vector(right[one])).max()) for one in both)
    return (
        f"{len(left)} and {len(right)} cases, {len(both)} in both; embeddings differ by {worst:g}"
    )


def main() -> None:
    """Fill an archive, index it in both ways, print images per second."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--connections", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, fetched = Store(folder / "plain"), Store(folder / "fetched")
        (folder / "orthanc").mkdir()
        with Orthanc(folder / "orthanc") as archive:
            films(folder / "films", archive, asked.count, asked.side)
            print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
                  f"{asked.count} films of {asked.side} pixels")  # fmt: skip
            common = ("--no-publish", "--checkpoint", asked.checkpoint, "--precision", "float32")
            line = ("index", folder / "films", "--source", "pacs", "--store", plain.root)
            alone = seconds(Process(folder / "plain.log", *line, *common))
            print(f"xemplar index: {alone:.0f} s, {asked.count / alone:.1f} images/s; "
                  f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
            line = ("dicom", "fetch", f"{archive.url}/dicom-web", "--store", fetched.root)
            line = (*line, "--connections", str(asked.connections))
            parts = []
            for quarter in (1, 2, 3, 4):
                process = Process(folder / f"{quarter}.log", *line, *common)
                until = asked.count * quarter // 4 if quarter < 4 else asked.count + 1
                parts.append(seconds(process, lambda until=until: count_cases(fetched) >= until))
            whole = sum(parts)
            runs = ", ".join(f"{one:.0f}" for one in parts)
            print(f"xemplar dicom fetch, killed three times: {whole:.0f} s ({runs}), "
                  f"{asked.count / whole:.1f} images/s; ratio {alone / whole:.2f}; "
                  f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
            print(difference(plain, fetched))


if __name__ == "__main__":
    main()
