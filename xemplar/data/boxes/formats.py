"""Reads files of radiologists' boxes to `DrawnBox` records in pixels. No image is opened.

Four formats are recognised by their header, with one box per row:

===============================  ===============================================================
``BBox_List_2017.csv``           NIH ChestX-ray14 (Wang et al., CVPR 2017): x, y, width, height
``stage_2_train_labels.csv``     RSNA 2018 (Shih et al., Radiology: AI 2019): x, y, width, height
``train.csv``                    VinBigData (Nguyen et al., Scientific Data 2022): two corners
``boxes.csv``                    file, label, x, y, w, h, provenance
===============================  ===============================================================
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xemplar.errors import DatasetError

Row = Mapping[str, str]

BOX_FILES = ("boxes.csv", "BBox_List_2017.csv", "stage_2_train_labels.csv")
"""Names of box files in a data set's folder, in order of precedence."""

RSNA, LUNG_OPACITY = "RSNA 2018", "Lung Opacity"

PUBLISHED = 1024
"""Side in pixels of the images published by NIH and RSNA, to which their boxes refer."""


@dataclass(frozen=True)
class DrawnBox:
    """A row of a box file, in pixels, not yet assigned to an image.

    Attributes:
        where: file and line, for messages.
        file: name of the image, as written in the row.
        label: label of the finding, as written in the row.
        left: in pixels from the left edge; all four are finite, right > left and bottom > top.
        top: from the upper edge.
        right: from the left edge.
        bottom: from the upper edge.
        reader: who drew it; empty if unknown.
        side: side in pixels of the square images published with the box file; None if the box
            refers to the image's own size.
    """

    where: str
    file: str
    label: str
    left: float
    top: float
    right: float
    bottom: float
    reader: str
    side: int | None = None


def box_file(root: Path) -> Path | None:
    """Find the box file in a data set's folder, or None."""
    return next((root / name for name in BOX_FILES if (root / name).is_file()), None)


def read_boxes(file: Path) -> tuple[DrawnBox, ...]:
    """Read the boxes of a file in one of the four formats, in order. No image is opened.

    Raises:
        DatasetError: no such file, an unknown format, or a row without an image, or whose box is
            not numeric or has no area; the message states file, line and reason.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            header = list(reader.fieldnames or ())
            if header[:2] == ["Image Index", "Finding Label"]:
                # its third heading is 'Bbox [x,y,w,h]' with bare commas, so a part in each column
                header = reader.fieldnames = [*header[:2], "x", "y", "w", "h"]
            parse = next((p for names, p in _FORMATS.items() if names <= set(header)), None)
            if parse is None:
                raise DatasetError(
                    f"{file} has the columns {', '.join(header) or '(none)'}, which is no known "
                    f"format of box file: {'; '.join(', '.join(sorted(f)) for f in _FORMATS)}"
                )
            rows = [
                (
                    f"{file}, line {reader.line_num}",
                    {k: (v or "").strip() for k, v in r.items() if k},
                )
                for r in reader
            ]
    except FileNotFoundError as error:
        raise DatasetError(f"there is no box file {file}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} is no CSV file in UTF-8: {error}") from error
    return tuple(box for where, row in rows for box in parse(where, row))


# ---- The four formats: each yields the boxes of a row (none for a negative row) ------------------


def _ours(where: str, row: Row) -> Iterator[DrawnBox]:
    yield _sized(where, row, ("file", "label"), ("x", "y", "w", "h"), row.get("provenance", ""))


def _nih(where: str, row: Row) -> Iterator[DrawnBox]:
    names = "Image Index", "Finding Label"
    yield _sized(where, row, names, ("x", "y", "w", "h"), "NIH BBox_List_2017", PUBLISHED)


def _rsna(where: str, row: Row) -> Iterator[DrawnBox]:
    if row["Target"] not in ("0", "1"):
        raise DatasetError(f"{where}: Target {row['Target']!r} is none of 0 and 1")
    if row["Target"] == "1":
        labelled = {**row, "label": LUNG_OPACITY}
        yield _sized(
            where, labelled, ("patientId", "label"), ("x", "y", "width", "height"), RSNA, PUBLISHED
        )


def _vinbigdata(where: str, row: Row) -> Iterator[DrawnBox]:
    if row["class_name"] != "No finding":
        corners = ("x_min", "y_min", "x_max", "y_max")
        left, top, right, bottom = _numbers(where, row, corners)
        reader = f"VinBigData {row['rad_id']}"
        yield _drawn(where, row, ("image_id", "class_name"), (left, top, right, bottom), reader)


_FORMATS: Mapping[frozenset[str], Callable[[str, Row], Iterator[DrawnBox]]] = {
    frozenset(("Image Index", "Finding Label", "x", "y", "w", "h")): _nih,
    frozenset(("patientId", "x", "y", "width", "height", "Target")): _rsna,
    frozenset(
        ("image_id", "class_name", "rad_id", "x_min", "y_min", "x_max", "y_max")
    ): _vinbigdata,
    frozenset(("file", "label", "x", "y", "w", "h")): _ours,
}


def _sized(
    where: str,
    row: Row,
    names: tuple[str, str],
    columns: Sequence[str],
    reader: str,
    side: int | None = None,
) -> DrawnBox:
    """Make a box from its upper left corner, width and height."""
    x, y, width, height = _numbers(where, row, columns)
    return _drawn(where, row, names, (x, y, x + width, y + height), reader, side)


def _drawn(
    where: str,
    row: Row,
    names: tuple[str, str],
    edges: tuple[float, float, float, float],
    reader: str,
    side: int | None = None,
) -> DrawnBox:
    file, label = (row[name] for name in names)
    left, top, right, bottom = edges
    if not file or not label:
        raise DatasetError(f"{where}: a box must name its image and its finding")
    if right <= left or bottom <= top:
        raise DatasetError(
            f"{where}: a box {right - left:g} wide and {bottom - top:g} high has no area"
        )
    return DrawnBox(where, file, label, left, top, right, bottom, reader, side)


def _numbers(where: str, row: Row, columns: Sequence[str]) -> list[float]:
    texts = [row[column] for column in columns]
    try:
        numbers = [float(text) for text in texts]
    except ValueError as error:
        raise DatasetError(
            f"{where}: the box ({', '.join(texts)}) of columns {', '.join(columns)} is not numeric"
        ) from error
    if not all(map(math.isfinite, numbers)):
        raise DatasetError(f"{where}: the box ({', '.join(texts)}) is not finite")
    return numbers
