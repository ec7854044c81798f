"""Data sets as they lie on disk: images, findings, boxes, splits."""
