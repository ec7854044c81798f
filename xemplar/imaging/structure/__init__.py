"""Limits the number of parts of a file before a library parses it.

A small file can contain so many parts (scans, chunks, directories, elements, items) that parsing
takes minutes. Each module here walks the parts of one container format by their stored lengths,
decodes nothing, and rejects counts that no real image has. Truncated or malformed parts are left to
the library to report.

::

    png       chunks
    jpeg      segments, scans
    tiff      directories, fields, strips and tiles; EXIF is such a directory
    dicom     elements, items, fragments
    jpeg2000  tiles, layers, precincts
"""

from xemplar.errors import UnreadableImage


def too_many(parts: str, most: int) -> UnreadableImage:
    """Make the error for a file with more parts than any real image has."""
    return UnreadableImage(
        f"the file has more than {most:,} {parts}, the limit: it is damaged or crafted to be "
        "slow to read; export the image again"
    )
