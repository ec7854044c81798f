"""Builds a generation from embeddings, as a folder that appears atomically."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import new_folder
from xemplar.archive.store import Store
from xemplar.errors import Mismatch, NothingIndexed
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.inverted import AUTO, FLAT, InvertedFile, factory_for, known_factory
from xemplar.index.manifest import (
    CAMS,
    IDS,
    INVERTED_FILE,
    LOGITS,
    NAME,
    VECTORS,
    FileRecord,
    Manifest,
    Probe,
)
from xemplar.index.recall import measure_probes
from xemplar.index.rows import RowWriter
from xemplar.model.checkpoint import Checkpoint


class Vectors(Protocol):
    """Embeddings of n cases, such as `xemplar.catalog.Batch`."""

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """int64 (n,), ascending within the batch and from batch to batch."""

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n, C), unit length."""

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """float32 (n, F), before calibration."""

    @property
    def cams(self) -> npt.NDArray[np.float16]:
        """float16 (n, F, g, g)."""


Source = Callable[[], Iterable[Vectors]]
"""Yields all embeddings from the beginning on each call, one batch at a time."""


def build(
    store: Store,
    checkpoint: Checkpoint,
    source: Source,
    *,
    factory: str = AUTO,
    calibration: SimilarityCalibration | None = None,
) -> Manifest:
    """Build a generation in the store without publishing it (see `publish`).

    Vectors are written as they are read; memory holds a batch of them, and the inverted lists.

    Args:
        store: destination.
        checkpoint: the one that produced the embeddings.
        source: embeddings in order of ids; read once.
        factory: FAISS factory string (see `known_factory`); `AUTO` for the one that suits the
            number of cases.
        calibration: maps similarity to the probability of a shared finding, if measured.

    Returns:
        The manifest; the folder is ``store.generations / manifest.name``.

    Raises:
        NothingIndexed: there are no embeddings.
        ConfigurationError: the factory is unknown, or has more lists than there are cases.
        Mismatch: the calibration belongs to another checkpoint.
        StorageError: the disk is full, read-only or fails; nothing is left of the generation.
    """
    if calibration is not None and calibration.checkpoint != checkpoint.digest:
        raise Mismatch(
            f"the calibration of similarity was measured with checkpoint "
            f"{calibration.checkpoint[:12]}, not with {checkpoint.digest[:12]}; measure it again "
            "with `xemplar evaluate ranking`"
        )
    factory = known_factory(factory)
    name, created = _name(store, checkpoint.digest)
    with new_folder(store.generations / name) as beside:
        count = _write(beside, source)
        if not count:
            raise NothingIndexed(
                f"checkpoint {checkpoint.digest[:12]} has embedded no images yet; run "
                "`xemplar index FOLDER`"
            )
        dimension = checkpoint.card.architecture.embedding_size
        built = factory_for(count, dimension) if factory == AUTO else factory
        probes = () if built == FLAT else _write_inverted(beside, built)
        files = sorted(path.name for path in beside.iterdir())
        manifest = Manifest(
            name=name,
            created=created,
            checkpoint=checkpoint.digest,
            preprocessing=checkpoint.card.spec.digest,
            findings=checkpoint.card.findings,
            count=count,
            dimension=dimension,
            factory=built,
            automatic=factory == AUTO,
            probes=probes,
            recall_at_10=probes[0].recall_at_10 if probes else 1.0,
            calibration=calibration,
            files={file: FileRecord.of(beside / file) for file in files},
        )
        (beside / NAME).write_bytes(manifest.to_json())
    return manifest


def _name(store: Store, digest: str) -> tuple[str, str]:
    """Choose a generation's name and time (ISO); names sort by time, with one per second."""
    while True:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}"
        if not (store.generations / name).exists():
            return name, now.isoformat(timespec="seconds")
        time.sleep(0.05)


def _write(folder: Path, source: Source) -> int:
    """Write the vectors, ids, logits and maps of all cases; return how many there are."""
    count = 0
    with ExitStack() as files:
        ids, vectors, logits, cams = (
            files.enter_context(RowWriter(folder / file, dtype))
            for file, dtype in ((IDS, "<i8"), (VECTORS, "<f4"), (LOGITS, "<f4"), (CAMS, "<f2"))
        )
        for batch in source():
            ids.append(batch.ids)
            vectors.append(batch.vectors)
            logits.append(batch.logits)
            cams.append(batch.cams)
            count += len(batch.ids)
    return count


def _write_inverted(folder: Path, factory: str) -> tuple[Probe, ...]:
    """Write inverted lists of the vectors in a folder; return the effort that they need."""
    vectors = np.asarray(np.load(folder / VECTORS, mmap_mode="r"))
    inverted = InvertedFile.build(vectors, factory)
    inverted.write(folder / INVERTED_FILE)
    return measure_probes(inverted, vectors, np.load(folder / LOGITS))
