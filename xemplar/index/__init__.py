"""The index: immutable generations, built from embeddings and searched for similar cases.

A generation is built beside the live one and published by replacing one small file, so that readers
always see a complete index; rolling back is publishing an older generation. Generations are files
in the store, or collections of a Milvus server, where an alias takes that small file's place.
"""

from xemplar.index.builder import Source, Vectors
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.delta import Changes, LiveIndex, check_cases
from xemplar.index.engine import (
    SearchableGeneration,
    build,
    check_answers,
    check_content,
    current,
    generations,
    held,
    known_factory,
    manifest_of,
    open_generation,
    publish,
    remove,
    sweep,
)
from xemplar.index.generation import Generation, Hits
from xemplar.index.inverted import AUTO
from xemplar.index.manifest import FileRecord, Manifest, Probe, check_files, read_manifest
from xemplar.index.published import DamagedGeneration, folder_of

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
    "SearchableGeneration",
    "SimilarityCalibration",
    "Source",
    "Vectors",
    "build",
    "check_answers",
    "check_cases",
    "check_content",
    "check_files",
    "current",
    "folder_of",
    "generations",
    "held",
    "known_factory",
    "manifest_of",
    "open_generation",
    "publish",
    "read_manifest",
    "remove",
    "sweep",
]
