"""The index: embeddings -> immutable generations on disk -> the most similar cases.

A generation is built beside the live one and published by changing one small file, so that a
reader always sees a whole index, and going back is publishing an older one.
"""

from xemplar.index.builder import FACTORY, Source, Vectors, build, empty_index
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.delta import Changes, LiveIndex, check_cases
from xemplar.index.generation import Generation, Hits, open_generation
from xemplar.index.manifest import FileRecord, Manifest, read_manifest
from xemplar.index.published import (
    DamagedGeneration,
    current,
    folder_of,
    generations,
    publish,
    remove,
)

__all__ = [
    "FACTORY",
    "Changes",
    "DamagedGeneration",
    "FileRecord",
    "Generation",
    "Hits",
    "LiveIndex",
    "Manifest",
    "SimilarityCalibration",
    "Source",
    "Vectors",
    "build",
    "check_cases",
    "current",
    "empty_index",
    "folder_of",
    "generations",
    "open_generation",
    "publish",
    "read_manifest",
    "remove",
]
