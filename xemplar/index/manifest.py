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

SCHEMA = 2
FIRST_SCHEMA = 1
"""Of generations whose vectors are in a FAISS index (`FAISS_INDEX`); no longer written."""

METRIC = "inner_product"
NAME = "manifest.json"
_REBUILD = "run `xemplar index` to build a new generation from the catalog"
VECTORS, IDS, LOGITS, CAMS = "vectors.npy", "ids.npy", "logits.npy", "cams.npy"
INVERTED_FILE = "ivf.faiss"
FAISS_INDEX = "index.faiss"
ROWS = (VECTORS, IDS, LOGITS, CAMS)
FILES = {
    FIRST_SCHEMA: ({FAISS_INDEX, IDS, LOGITS, CAMS},),
    SCHEMA: (set(ROWS), {*ROWS, INVERTED_FILE}),
}
"""Files of a generation, by schema; only one with inverted lists has `INVERTED_FILE`."""


@dataclass(frozen=True)
class FileRecord:
    """One file of a generation: sha256 hex digest and size in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Record an existing file."""
        return cls(file_digest(path), path.stat().st_size)


@dataclass(frozen=True)
class Probe:
    """Search effort measured for filters that keep a share of the cases (`xemplar.index.recall`).

    Attributes:
        share: least share of the cases that a filter keeps, in (0, 1].
        nprobe: number of inverted lists that a search visits.
        recall_at_10: fraction of the exact 10 nearest cases that it finds, the lowest of several
            filters.
    """

    share: float
    nprobe: int
    recall_at_10: float


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
        factory: FAISS factory string: "Flat" for exact search, or of inverted lists.
        recall_at_10: fraction of the 10 nearest cases that a search without filter finds, measured
            against exact search; 1.0 by construction if the search is exact.
        automatic: whether the number of cases decided on the factory.
        probes: search effort by the share of cases that a filter keeps, from 1 down; empty if the
            search is exact. Fewer cases than the last share are compared exactly.
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
    recall_at_10: float
    files: Mapping[str, FileRecord]
    automatic: bool = True
    probes: tuple[Probe, ...] = ()
    calibration: SimilarityCalibration | None = None
    metric: str = METRIC
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """Serialise as the content of manifest.json."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode()

    def probe(self, matching: int) -> Probe | None:
        """Return the effort of a search in so many of the cases; None to compare them exactly."""
        return next((one for one in self.probes if one.share * self.count <= matching), None)


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read a generation's manifest without checking its files.

    Raises:
        CorruptArtefact: it is missing, damaged, or of another schema.
    """
    path = folder / NAME
    try:
        fields = json.loads(path.read_bytes())
        if fields["schema"] not in FILES:
            raise CorruptArtefact(
                f"{path} has schema {fields['schema']!r}; this software reads {[*FILES]}; install "
                "the version that wrote it, or run `xemplar index` to build a new generation"
            )
        if fields["schema"] == FIRST_SCHEMA:
            del fields["nprobe"]  # of its index, whose vectors are now compared exactly
        if fields["calibration"] is not None:
            fields["calibration"] = SimilarityCalibration.from_dict(fields["calibration"])
        manifest = _MANIFEST.validate_python(vars(Manifest(**fields)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path} cannot be read: {error}; run `xemplar index` to build a new generation, or "
            "go back to an older one with `xemplar generations activate`"
        ) from error
    if set(manifest.files) not in FILES[manifest.schema]:
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
    """Refuse a generation whose files were changed; reads all of them.

    Done when one is published, backed up or restored. Opening one only compares sizes.

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
