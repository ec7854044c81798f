"""Finds text that is burnt into a picture: rows of sharp strokes of one height.

Letters are small, sharply bounded, brighter or darker than all around them, and stand in rows.
Anatomy has none of this together, and a marker of the side ("L", "R") is no row. Strokes are found
by the top-hat (bright on dark) and the black-hat (dark on bright), and nothing is read: a row may
name the patient, the hospital, or say "PORTABLE".
"""

from operator import itemgetter
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

STROKE = 9
"""Side in pixels of the square that removes strokes, which are thinner."""

LARGE = 640
"""Longer side of a picture from which on large print is looked for, too, in the picture halved: in
smaller ones it is anatomy that is as thick."""

CONTRAST = 55
"""Least difference in grey between a stroke and what is around it."""

HEIGHTS = (5, 56)
"""Height of letters in pixels of the display copy."""

LETTERS = 4
"""Letters that make a row; markers of side and position have fewer."""

WIDEST = 1.6
"""Greatest width of a letter, in heights."""

LEAST_FILLED = 0.15
"""Least share of a letter's box that its strokes fill."""

ALIKE = 0.55
"""Least ratio of the heights of neighbours in a row: of small letters to capitals."""

GAP = 1.3
"""Widest gap between neighbours in a row, in heights."""

MARGIN = 0.35
"""Margin around a row, in heights."""

Grey = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.int64]
"""(count, 4): left, top, right, bottom in pixels."""


class TextBox(NamedTuple):
    """Area with text, in fractions of a picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float


def text_boxes(image: Grey) -> tuple[TextBox, ...]:
    """Find rows of text.

    Args:
        image: uint8 (height, width), the display copy, longer side about 1,024 pixels.

    Returns:
        Boxes with a margin, the topmost first; empty if there is no text.
    """
    height, width = image.shape
    found = _found(image)
    if max(image.shape) >= LARGE:
        half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        found += [2 * box for box in _found(np.asarray(half, np.uint8))]
    merged = [[float(edge) for edge in box] for box in _merged(found)]
    return tuple(
        TextBox(
            max(0.0, left / width),
            max(0.0, top / height),
            min(1.0, right / width),
            min(1.0, bottom / height),
        )
        for left, top, right, bottom in sorted(merged, key=itemgetter(1))
    )


def _found(image: Grey) -> list[Boxes]:
    """Find rows of bright and of dark text, with their margins."""
    hats = (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
    return [row for hat in hats for row in _rows(_components(_strokes(image, hat)))]


def _strokes(image: Grey, hat: int) -> Grey:
    """Mark what is thinner than `STROKE` and differs from all around it: uint8, 0 or 1."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE, STROKE))
    frame = (STROKE,) * 4
    framed = cv2.copyMakeBorder(image, *frame, cv2.BORDER_REPLICATE)
    found = cv2.morphologyEx(framed, hat, kernel)[STROKE:-STROKE, STROKE:-STROKE]
    return np.asarray(cv2.threshold(found, CONTRAST - 1, 1, cv2.THRESH_BINARY)[1], np.uint8)


class _Strokes(NamedTuple):
    """Boxes of connected strokes (n, 4), and which of them may be a letter (n,)."""

    boxes: Boxes
    are_letters: npt.NDArray[np.bool_]


NO_STROKES = _Strokes(np.empty((0, 4), np.int64), np.empty(0, np.bool_))


def _components(strokes: Grey) -> _Strokes:
    """Find connected strokes; none where too few of them have the size of a letter for a row."""
    # most rows and columns are empty: only the others are looked at
    marked = strokes.view(np.bool_)
    down, across = (_around(np.asarray(marked.any(axis=axis))) for axis in (1, 0))
    packed = np.ascontiguousarray(strokes[down][:, across])
    if not packed.size or not _may_hold_a_row(packed):
        return NO_STROKES
    stats = cv2.connectedComponentsWithStats(packed, connectivity=8)[2][1:].astype(np.int64)
    left, top, wide, high, area = stats.T
    left, top = across[left], down[top]
    boxes = np.stack([left, top, left + wide, top + high], axis=1)
    filled = area >= LEAST_FILLED * wide * high
    return _Strokes(boxes, _has_size_of_letter(wide, high) & filled)


def _may_hold_a_row(strokes: Grey) -> bool:
    """Check that enough strokes have the size of a letter: most pictures have no text.

    Outlines take a thirtieth of the time of components; those of holes count too, so that nothing
    is missed.
    """
    outlines = cv2.findContours(strokes, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    sizes = np.array([cv2.boundingRect(one)[2:] for one in outlines], np.int64).reshape(-1, 2)
    return int(_has_size_of_letter(*sizes.T).sum()) >= LETTERS


def _has_size_of_letter(
    wide: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    return (high >= HEIGHTS[0]) & (high <= HEIGHTS[1]) & (wide <= WIDEST * high)


def _around(marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the places marked, and the one after each, so that what is apart stays apart."""
    kept = marked.copy()
    kept[1:] |= marked[:-1]
    return np.flatnonzero(kept)


def _rows(found: _Strokes) -> list[Boxes]:
    """Group letters into rows of at least `LETTERS`; return each row's box with its margin."""
    letters = found.boxes[found.are_letters]
    rows: list[list[int]] = []
    for index in np.argsort(letters[:, 0], kind="stable"):
        for row in rows:
            if _follows(letters[row[-1]], letters[index]):
                row.append(int(index))
                break
        else:
            rows.append([int(index)])
    return [_grown(letters[row], found.boxes) for row in rows if len(row) >= LETTERS]


def _follows(before: Boxes, box: Boxes) -> bool:
    """Check that a letter is the next one of a row."""
    heights = before[3] - before[1], box[3] - box[1]
    low, high = min(heights), max(heights)
    overlap = min(before[3], box[3]) - max(before[1], box[1])
    gap = box[0] - before[2]
    return bool(low >= ALIKE * high and overlap >= 0.6 * low and -0.3 * high <= gap <= GAP * high)


def _grown(row: Boxes, strokes: Boxes) -> Boxes:
    """Extend a row by the strokes beside it, such as points and letters that touch others."""
    height = int((row[:, 3] - row[:, 1]).max())
    left, top, right, bottom = row[:, 0].min(), row[:, 1].min(), row[:, 2].max(), row[:, 3].max()
    inside = (strokes[:, 1] >= top - height / 2) & (strokes[:, 3] <= bottom + height / 2)
    beside = strokes[inside]
    while True:
        reach = round(GAP * height)
        near = beside[(beside[:, 2] >= left - reach) & (beside[:, 0] <= right + reach)]
        ends = min(left, near[:, 0].min()), max(right, near[:, 2].max())
        if ends == (left, right):
            break
        left, right = ends
    margin = round(MARGIN * height) + 1
    return np.array([left - margin, top - margin, right + margin, bottom + margin], np.int64)


def _merged(boxes: list[Boxes]) -> list[Boxes]:
    """Join boxes that overlap."""
    left = list(boxes)
    merged: list[Boxes] = []
    while left:
        box = left.pop()
        for other in left:
            if (np.maximum(box[:2], other[:2]) < np.minimum(box[2:], other[2:])).all():
                joined = np.concatenate(
                    [np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])]
                )
                left = [one for one in left if one is not other] + [joined]
                break
        else:
            merged.append(box)
    return merged
