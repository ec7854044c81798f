"""Boxes of a file -> boxes on images, in shares of their sides, under the network's findings."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xemplar.data.boxes.files import LUNG_OPACITY, DrawnBox
from xemplar.data.datasets import SUFFIXES, DatasetImage
from xemplar.data.findings import canonical
from xemplar.errors import DatasetError

TOLERANCE = 1.0
"""Pixels by which a box may stick out of its image; it is clipped then."""

CORRESPONDING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # one class for both: CheXpert's "Lung Lesion" is that class. Of NIH's two, the nodule
        # comes first: the image's scale, which tells them apart (3 cm), is not in the box file
        "Nodule/Mass": ("Lung Lesion", "Nodule", "Mass"),
    }
)
"""A box's label -> outputs that may stand for it, the first that the checkpoint has is taken.

Any other label stands for the output of its own (canonical) name. RSNA's "Lung Opacity" may also
be held against "Pneumonia", because its readers boxed opacities suggestive of pneumonia; other
readers' "Lung Opacity" may not, as it means any opacity.
"""


@dataclass(frozen=True)
class Box:
    """A rectangle around a finding, in shares of the image's width and height.

    Attributes:
        label: as the box file writes it.
        finding: output of the checkpoint whose map is held against it.
        left: in [0, 1), from the left edge of the image.
        top: in [0, 1), from its upper edge.
        right: in (left, 1].
        bottom: in (top, 1].
        reader: who drew it, such as "RSNA 2018"; empty where unknown.
    """

    label: str
    finding: str
    left: float
    top: float
    right: float
    bottom: float
    reader: str = ""

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The pixels whose centres lie in the box, bool (height, width).

        Never empty: along an axis on which the box lies between two centres, the pixel that
        contains the middle of the box counts.
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
    """Put boxes on the images that they were drawn on.

    Boxes of other images are ignored, and those whose label no output of the checkpoint stands for
    are left out; `left_out` counts them.

    Args:
        drawn: from `read_boxes`.
        images: N images. A row's image is the one whose ``file`` it names; else the one with that
            file name; else with that stem, because box files often leave out folder and suffix.
        shapes: int (N, 2), height and width of each image in pixels of its file.
        findings: the checkpoint's outputs.

    Returns:
        Row of ``images`` -> its boxes, in the order of the box file; images without any are
        missing.

    Raises:
        DatasetError: a box that lies outside its image by more than `TOLERANCE`, a row that could
            mean several images, or an image that was cropped after the boxes were drawn.
    """
    placed: dict[int, list[Box]] = defaultdict(list)
    for box, row in zip(drawn, rows_of(drawn, images), strict=True):
        if row is not None:
            height, width = (int(n) for n in shapes[row])
            left, top, right, bottom = _shares(box, height, width)
            finding = _finding(box, findings)
            if finding is not None:
                placed[row].append(Box(box.label, finding, left, top, right, bottom, box.reader))
    return {row: tuple(boxes) for row, boxes in placed.items()}


def left_out(
    drawn: Sequence[DrawnBox], images: Sequence[DatasetImage], findings: Sequence[str]
) -> Mapping[str, int]:
    """Labels that no output of the checkpoint stands for -> how many boxes on these images."""
    rows = rows_of(drawn, images)
    return Counter(
        box.label
        for box, row in zip(drawn, rows, strict=True)
        if row is not None and _finding(box, findings) is None
    )


def rows_of(drawn: Sequence[DrawnBox], images: Sequence[DatasetImage]) -> list[int | None]:
    """The row of each box's image; None where it is not among the images.

    Raises:
        DatasetError: a row that could mean several images.
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


def _shares(box: DrawnBox, height: int, width: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in shares of the image, clipped to it within the tolerance."""
    if box.side is not None:
        if height != width:
            raise DatasetError(
                f"{box.where}: the box was drawn on an image of {box.side} x {box.side} pixels, "
                "but "
                f"{box.file!r} here has {width} x {height}; a cropped copy cannot be used"
            )
        height = width = box.side
    left, right = max(box.left, 0.0), min(box.right, float(width))
    top, bottom = max(box.top, 0.0), min(box.bottom, float(height))
    beyond = max(left - box.left, top - box.top, box.right - right, box.bottom - bottom)
    if beyond > TOLERANCE or right <= left or bottom <= top:
        raise DatasetError(
            f"{box.where}: the box from ({box.left:g}, {box.top:g}) to ({box.right:g}, "
            f"{box.bottom:g}) does not lie in its image of {width} x {height} pixels; coordinates "
            "must be pixels of the image's own file"
        )
    return left / width, top / height, right / width, bottom / height


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
    """Without the suffix of an image; what follows the last dot of a DICOM UID is none."""
    return name.stem if name.suffix.lower() in SUFFIXES else name.name


def _same_folder(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether the folders agree as far as both are named: patient1/view.jpg is not patient2's."""
    pairs = zip(reversed(one.parent.parts), reversed(other.parent.parts), strict=False)
    return all(a == b for a, b in pairs)
