"""The manifest: describes a generation and verifies its files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from xemplar.archive.artefact import file_digest
from xemplar.errors import CorruptArtefact, Mismatch
from xemplar.index.calibration import SimilarityCalibration
from xemplar.model.checkpoint import Checkpoint

SCHEMA = 1
METRIC = "inner_product"
NAME = "manifest.json"
_REBUILD = "run `xemplar index` to build a new generation from the catalog"
INDEX, IDS, LOGITS, CAMS = "index.faiss", "ids.npy", "logits.npy", "cams.npy"
FILES = (INDEX, IDS, LOGITS, CAMS)


@dataclass(frozen=True)
class FileRecord:
    """One file of a generation: sha256 hex digest and size in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Record an existing file."""
        return cls(file_digest(path), path.stat().st_size)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Content and origin of a generation.

    Attributes:
        name: of its folder.
        created: UTC, ISO 8601.
        checkpoint: sha256 hex digest of the checkpoint whose embeddings it holds.
        preprocessing: digest of that checkpoint's `PreprocessSpec`.
        findings: of the Grad-CAM maps, in order.
        count: number of cases.
        dimension: of the embedding.
        factory: FAISS factory string.
        nprobe: number of inverted lists that a search visits; 0 if the index has none.
        recall_at_10: fraction of the 10 nearest cases that a search finds, measured against exact
            search; 1.0 by construction if the search is exact.
        calibration: maps similarity to the probability of a shared finding; None until measured.
        files: name -> digest and size.
        metric: similarity metric.
        schema: version of the manifest's format.
    """

    name: str
    created: str
    checkpoint: str
    preprocessing: str
    findings: tuple[str, ...]
    count: int
    dimension: int
    factory: str
    nprobe: int
    recall_at_10: float
    files: Mapping[str, FileRecord]
    calibration: SimilarityCalibration | None = None
    metric: str = METRIC
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """Serialise as the content of manifest.json."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read a generation's manifest without checking its files.

    Raises:
        CorruptArtefact: it is missing, damaged, or of another schema.
    """
    path = folder / NAME
    try:
        fields = json.loads(path.read_bytes())
        if fields["schema"] != SCHEMA:
            raise CorruptArtefact(
                f"{path} has schema {fields['schema']!r}; this software reads {SCHEMA}; install "
                "the version that wrote it, or run `xemplar index` to build a new generation"
            )
        if fields["calibration"] is not None:
            fields["calibration"] = SimilarityCalibration.from_dict(fields["calibration"])
        manifest = _MANIFEST.validate_python(vars(Manifest(**fields)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path} cannot be read: {error}; run `xemplar index` to build a new generation, or "
            "go back to an older one with `xemplar generations activate`"
        ) from error
    if set(manifest.files) != set(FILES):
        raise CorruptArtefact(f"{path} lists the files {sorted(manifest.files)}; {_REBUILD}")
    return manifest


def check_fit(manifest: Manifest, checkpoint: Checkpoint) -> None:
    """Refuse a generation built with another checkpoint, preprocessing or metric.

    Raises:
        Mismatch: names both values and the remedy.
    """
    card = checkpoint.card
    remedy = (
        "run `xemplar index` on your data sets with this checkpoint, or start with --checkpoint "
        "(XEMPLAR_CHECKPOINT) naming the one that built it"
    )
    pairs: tuple[tuple[str, object, object], ...] = (
        ("checkpoint", manifest.checkpoint, checkpoint.digest),
        ("preprocessing", manifest.preprocessing, card.spec.digest),
        ("findings", manifest.findings, card.findings),
        ("dimension", manifest.dimension, card.architecture.embedding_size),
        ("metric", manifest.metric, METRIC),
    )
    for what, built, wanted in pairs:
        if built != wanted:
            raise Mismatch(
                f"the index generation {manifest.name} was built with {what} "
                f"{_short(built)}, but the loaded checkpoint needs {_short(wanted)}; {remedy}"
            )


def check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a generation whose files were changed.

    Raises:
        CorruptArtefact: names the file and the remedy.
    """
    for name, record in manifest.files.items():
        path = folder / name
        found = FileRecord.of(path) if path.is_file() else None
        if found != record:
            is_now = f"{found.size:,} bytes, {found.sha256[:12]}" if found else "missing"
            raise CorruptArtefact(
                f"{path} is {is_now}, its manifest says {record.size:,} bytes, "
                f"{record.sha256[:12]}; {_REBUILD}"
            )


def _short(value: object) -> str:
    """Shorten a digest to 12 digits; return anything else in full."""
    return value[:12] if isinstance(value, str) else str(value)
