"""`write_phantoms`: a data set of phantoms with labels, boxes and severities."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2

from xemplar.archive.artefact import new_folder
from xemplar.data.findings import NO_FINDING
from xemplar.errors import ConfigurationError
from xemplar.phantom.film import film
from xemplar.phantom.radiograph import check, phantom

_SPLITS = ("train", "train", "train", "val", "train", "train", "test", "train", "train", "test")


def write_phantoms(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    size: int = 320,
    dicom: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Write a data set of phantoms atomically.

    `labels.csv` (file, patient_id, view, sex, age, findings, split), `boxes.csv` (file, label, x,
    y, w, h in pixels, provenance), `severity.csv` (file, finding, severity) and
    `images/phantom-000000.png` onwards. Every image shows another person: the patient_id is the
    phantom's seed, so that `phantom(int(patient_id), size=size)` makes the image again.

    Args:
        folder: Must not exist.
        count: Number of images, at least 1.
        seed: Of the first image; the others follow it.
        size: Pixels along each edge, 64 to 2048.
        dicom: Whether to write each as a DX object, too: `dicom/phantom-000000.dcm` onwards.
        on_progress: Called after each image with the number written.

    Raises:
        ConfigurationError: the folder exists, or an argument is outside its range.
    """
    check(seed, size, {})
    if count < 1:
        raise ConfigurationError(f"count {count} is less than 1; a data set has at least one image")
    labels = [["file", "patient_id", "view", "sex", "age", "findings", "split"]]
    boxes = [["file", "label", "x", "y", "w", "h", "provenance"]]
    severities = [["file", "finding", "severity"]]
    with new_folder(folder, shared=True) as beside:
        (beside / "images").mkdir()
        for i in range(count):
            image = phantom(seed + i, size=size)
            file = f"images/phantom-{i:06d}.png"
            (beside / file).write_bytes(cv2.imencode(".png", image.pixels)[1].tobytes())
            if dicom:
                (beside / "dicom").mkdir(exist_ok=True)
                (beside / "dicom" / f"phantom-{i:06d}.dcm").write_bytes(film(image))
            names = "|".join(p.finding for p in image.findings) or NO_FINDING
            split = _SPLITS[i % len(_SPLITS)]
            labels.append(
                [file, str(image.seed), image.view, image.sex, str(image.age), names, split]
            )
            for p in image.findings:
                boxes.append([file, p.finding, *(f"{v:g}" for v in p.box), "phantom"])
                severities.append([file, p.finding, f"{p.severity:.6f}"])
            if on_progress:
                on_progress(i + 1)
        for name, rows in (("labels", labels), ("boxes", boxes), ("severity", severities)):
            with (beside / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
                csv.writer(out, lineterminator="\n").writerows(rows)
