"""Size of display copies."""

DISPLAY_SIDE = 1024
"""Longest side of display copies in pixels; JPEG images are decoded at reduced size down to it."""


def size_within(height: int, width: int, side: int) -> tuple[int, int]:
    """Compute the (height, width) of an image shrunk to ``side`` pixels; it is never enlarged."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
