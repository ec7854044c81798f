"""Radiologists' boxes: where on an image a finding lies.

`read_boxes` reads a box file before any image is decoded; `place_boxes` puts its boxes on the
images, once their sizes are known.
"""

from xemplar.data.boxes.files import BOX_FILES, DrawnBox, box_file, read_boxes
from xemplar.data.boxes.placed import (
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
