"""Data sets on disk: images, labels, boxes, patient splits."""
