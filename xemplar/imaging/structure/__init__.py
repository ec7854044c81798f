"""Counts what a file is made of, before a library reads it.

A small file may have so many parts that it takes minutes to read: scans, chunks, directories,
elements, items. Each walker here goes from part to part of one container format by the lengths that
are written there, decodes nothing, and refuses what no image has. It does not judge whether a file
is whole: a part that cannot be followed is left to the library.

::

    png       chunks
    jpeg      segments, scans
    tiff      directories, fields, strips and tiles; EXIF is such a directory, too
    dicom     elements, items, fragments
    jpeg2000  tiles, layers, precincts
"""
