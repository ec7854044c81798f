"""The index: immutable generations on disk, built from embeddings and searched for similar cases.

A generation is built beside the live one and published by replacing one small file, so that readers
always see a complete index; rolling back is publishing an older generation.
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
