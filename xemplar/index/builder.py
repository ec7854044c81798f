"""Builds a generation from embeddings, as a folder that appears atomically."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import new_folder
from xemplar.archive.store import Store
from xemplar.errors import NothingIndexed
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.inverted import AUTO, FLAT, InvertedFile, factory_for
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
    factory: str,
    calibration: SimilarityCalibration | None,
) -> Manifest:
    """Build a generation in the store without publishing it; see `xemplar.index.engine.build`.

    Vectors are written as they are read, once; memory holds a batch of them, and the inverted
    lists.

    Returns:
        The manifest; the folder is ``store.generations / manifest.name``.
    """
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
    with _all_processors():
        inverted = InvertedFile.build(vectors, factory)
        inverted.write(folder / INVERTED_FILE)
        return measure_probes(inverted, vectors, np.load(folder / LOGITS))


@contextmanager
def _all_processors() -> Iterator[None]:
    """Let FAISS use all processors: programs give OpenMP one thread, which suits queries."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
