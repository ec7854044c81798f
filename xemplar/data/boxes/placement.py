"""Assigns boxes of a file to images, in relative coordinates, under the network's findings."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xemplar.data.boxes.formats import LUNG_OPACITY, DrawnBox
from xemplar.data.datasets import SUFFIXES, DatasetImage
from xemplar.data.findings import canonical
from xemplar.errors import DatasetError

TOLERANCE = 1.0
"""Pixels by which a box may exceed its image; it is clipped."""

CORRESPONDING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # one class for both, like CheXpert's "Lung Lesion". Of NIH's two, the nodule comes first:
        # the scale that distinguishes them (3 cm) is not in the box file
        "Nodule/Mass": ("Lung Lesion", "Nodule", "Mass"),
    }
)
"""A box's label -> corresponding outputs; the first that the checkpoint has is used.

Any other label corresponds to the output of its canonical name. RSNA's "Lung Opacity" also
corresponds to "Pneumonia", because its readers boxed opacities suggestive of pneumonia; elsewhere,
"Lung Opacity" means any opacity.
"""


@dataclass(frozen=True)
class Box:
    """Bounding box of a finding, relative to the image's width and height.

    Attributes:
        label: label in the box file.
        finding: the corresponding output of the checkpoint.
        left: in [0, 1), from the left edge of the image.
        top: in [0, 1), from its upper edge.
        right: in (left, 1].
        bottom: in (top, 1].
        reader: who drew it, such as "RSNA 2018"; empty if unknown.
    """

    label: str
    finding: str
    left: float
    top: float
    right: float
    bottom: float
    reader: str = ""

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Mask of the pixels whose centres are in the box, bool (height, width).

        Never empty: along an axis where the box covers no centre, the pixel that contains the
        middle of the box is set.
        """
        across = _covered(self.left, self.right, width)
        down = _covered(self.top, self.bottom, height)
        return down[:, None] & across[None]


def place_boxes(
    drawn: Sequence[DrawnBox],
    images: Sequence[DatasetImage],
    shapes: npt.NDArray[np.integer],
    findings: Sequence[str],
) -> Mapping[int, tuple[Box, ...]]:
    """Assign boxes to the images on which they were drawn.

    Ignores boxes of other images, and those whose label corresponds to no output of the checkpoint;
    `left_out` counts the latter.

    Args:
        drawn: result of `read_boxes`.
        images: N images. A row is matched by ``file``, else by file name, else by stem, because box
            files often omit folder and suffix.
        shapes: int (N, 2), height and width of each image in pixels of its file.
        findings: the checkpoint's outputs.

    Returns:
        Row of ``images`` -> its boxes, in the order of the box file; images without boxes are
        missing.

    Raises:
        DatasetError: boxes exceed their image by more than `TOLERANCE`, with their number; a row
            matches several images, or an image was cropped after its boxes were drawn.
    """
    placed: dict[int, list[Box]] = defaultdict(list)
    outside, here = list[str](), 0
    for box, row in zip(drawn, rows_of(drawn, images), strict=True):
        if row is not None:
            here += 1
            height, width = (int(n) for n in shapes[row])
            shares = _shares(box, height, width)
            if shares is None:
                outside.append(_outside(box, height, width))
                continue
            finding = _finding(box, findings)
            if finding is not None:
                placed[row].append(Box(box.label, finding, *shares, box.reader))
    if outside:
        others = f"; nor do {len(outside) - 1:,} more of {here:,} boxes" if outside[1:] else ""
        raise DatasetError(
            f"{outside[0]}{others}; coordinates must be pixels of the image's own file"
        )
    return {row: tuple(boxes) for row, boxes in placed.items()}


def left_out(
    drawn: Sequence[DrawnBox], images: Sequence[DatasetImage], findings: Sequence[str]
) -> Mapping[str, int]:
    """Count boxes on these images by label, for labels without a corresponding output."""
    rows = rows_of(drawn, images)
    return Counter(
        box.label
        for box, row in zip(drawn, rows, strict=True)
        if row is not None and _finding(box, findings) is None
    )


def rows_of(drawn: Sequence[DrawnBox], images: Sequence[DatasetImage]) -> list[int | None]:
    """Find the row of each box's image; None if it is not among the images.

    Raises:
        DatasetError: a box matches several images.
    """
    names = [PurePosixPath(image.file or image.path.as_posix()) for image in images]
    exact = {str(name): row for row, name in enumerate(names)}
    loose: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        for key in {name.name, _stem(name)}:
            loose[key].append(row)
    return [_row_of(box, names, exact, loose) for box in drawn]


def _covered(low: float, high: float, pixels: int) -> npt.NDArray[np.bool_]:
    centres = (np.arange(pixels) + 0.5) / pixels
    covered = (low <= centres) & (centres < high)
    if not covered.any():
        covered[min(int((low + high) / 2 * pixels), pixels - 1)] = True
    return covered


def _finding(box: DrawnBox, findings: Sequence[str]) -> str | None:
    names = CORRESPONDING.get(box.label, (canonical(box.label),))
    if box.label == LUNG_OPACITY and box.reader.startswith("RSNA"):
        names = (LUNG_OPACITY, "Pneumonia")
    return next((name for name in names if name in findings), None)


def _shares(box: DrawnBox, height: int, width: int) -> tuple[float, float, float, float] | None:
    """Convert to relative (left, top, right, bottom), clipped to the image within the tolerance.

    Returns:
        None if the box exceeds the image by more.
    """
    if box.side is not None:
        if height != width:
            raise DatasetError(
                f"{box.where}: the box was drawn on an image of {box.side} x {box.side} pixels, "
                f"but {box.file!r} here has {width} x {height}; a cropped copy cannot be used"
            )
        height = width = box.side
    left, right = max(box.left, 0.0), min(box.right, float(width))
    top, bottom = max(box.top, 0.0), min(box.bottom, float(height))
    beyond = max(left - box.left, top - box.top, box.right - right, box.bottom - bottom)
    if beyond > TOLERANCE or right <= left or bottom <= top:
        return None
    return left / width, top / height, right / width, bottom / height


def _outside(box: DrawnBox, height: int, width: int) -> str:
    width, height = (box.side, box.side) if box.side is not None else (width, height)
    return (
        f"{box.where}: the box from ({box.left:g}, {box.top:g}) to ({box.right:g}, "
        f"{box.bottom:g}) does not lie in its image of {width} x {height} pixels"
    )


def _row_of(
    box: DrawnBox,
    names: Sequence[PurePosixPath],
    exact: Mapping[str, int],
    loose: Mapping[str, Sequence[int]],
) -> int | None:
    wanted = PurePosixPath(box.file)
    if str(wanted) in exact:
        return exact[str(wanted)]
    for key in (wanted.name, _stem(wanted)):
        rows = [row for row in loose.get(key, ()) if _same_folder(wanted, names[row])]
        if len(rows) > 1:
            raise DatasetError(
                f"{box.where}: {box.file!r} could be {names[rows[0]]} or {names[rows[1]]}; "
                "name the image with its folder"
            )
        if rows:
            return rows[0]
    return None


def _stem(name: PurePosixPath) -> str:
    """Strip an image suffix; the last component of a DICOM UID is not one."""
    return name.stem if name.suffix.lower() in SUFFIXES else name.name


def _same_folder(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Check that the folders agree as far as both are named (patient1/a.jpg is not patient2's)."""
    pairs = zip(reversed(one.parent.parts), reversed(other.parent.parts), strict=False)
    return all(a == b for a, b in pairs)
