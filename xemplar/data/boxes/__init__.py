"""Bounding boxes of findings, drawn by radiologists.

`read_boxes` reads a box file without decoding images; `place_boxes` assigns its boxes to images
once their sizes are known.
"""

from xemplar.data.boxes.formats import BOX_FILES, DrawnBox, box_file, read_boxes
from xemplar.data.boxes.placement import (
    CORRESPONDING,
    TOLERANCE,
    Box,
    left_out,
    place_boxes,
    rows_of,
)

__all__ = [
    "BOX_FILES",
    "CORRESPONDING",
    "TOLERANCE",
    "Box",
    "DrawnBox",
    "box_file",
    "left_out",
    "place_boxes",
    "read_boxes",
    "rows_of",
]
