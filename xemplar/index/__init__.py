"""The index: immutable generations on disk, built from embeddings and searched for similar cases.

A generation is built beside the live one and published by replacing one small file, so that readers
always see a complete index; rolling back is publishing an older generation.
"""

from xemplar.index.builder import Source, Vectors, build
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.delta import Changes, LiveIndex, check_cases
from xemplar.index.generation import Generation, Hits, open_generation
from xemplar.index.inverted import AUTO, known_factory
from xemplar.index.manifest import FileRecord, Manifest, Probe, check_files, read_manifest
from xemplar.index.published import (
    DamagedGeneration,
    current,
    folder_of,
    generations,
    publish,
    remove,
)

__all__ = [
    "AUTO",
    "Changes",
    "DamagedGeneration",
    "FileRecord",
    "Generation",
    "Hits",
    "LiveIndex",
    "Manifest",
    "Probe",
    "SimilarityCalibration",
    "Source",
    "Vectors",
    "build",
    "check_cases",
    "check_files",
    "current",
    "folder_of",
    "generations",
    "known_factory",
    "open_generation",
    "publish",
    "read_manifest",
    "remove",
]
