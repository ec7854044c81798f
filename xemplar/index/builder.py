"""Builds a generation from embeddings, as a folder that appears atomically."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import new_folder
from xemplar.archive.store import Store
from xemplar.errors import ConfigurationError, Mismatch, NothingIndexed
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.manifest import CAMS, FILES, IDS, INDEX, LOGITS, NAME, FileRecord, Manifest
from xemplar.index.recall import choose_nprobe, inverted_lists, sample_of
from xemplar.model.checkpoint import Checkpoint

FACTORY = "IDMap2,Flat"
"""Exact search; up to about 100,000 cases it is faster than the network's forward pass."""

EXACT = frozenset({"IDMap2,Flat", "Flat,IDMap2"})


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


def empty_index(checkpoint: Checkpoint, factory: str) -> faiss.Index:
    """Create an empty index for a checkpoint's embeddings.

    Raises:
        ConfigurationError: FAISS does not accept the factory string, or the index stores no ids.
    """
    size = checkpoint.card.architecture.embedding_size
    try:
        index = faiss.index_factory(size, factory, faiss.METRIC_INNER_PRODUCT)
        if index.is_trained:
            index.add_with_ids(np.empty((0, size), np.float32), np.empty(0, np.int64))
    except RuntimeError as error:
        raise ConfigurationError(
            f"FAISS has no index {factory!r} that stores ids; use {FACTORY!r} or another one, "
            "such as 'IDMap2,IVF64,Flat'"
        ) from error
    return index


def build(
    store: Store,
    checkpoint: Checkpoint,
    source: Source,
    *,
    factory: str = FACTORY,
    calibration: SimilarityCalibration | None = None,
) -> Manifest:
    """Build a generation in the store without publishing it (see `publish`).

    Args:
        store: destination.
        checkpoint: the one that produced the embeddings.
        source: embeddings in order of ids. Read once for an exact index, three times for one that
            is trained and whose recall is measured.
        factory: FAISS factory string of an index that stores ids and can reconstruct vectors.
        calibration: maps similarity to the probability of a shared finding, if measured.

    Returns:
        The manifest; the folder is ``store.generations / manifest.name``.

    Raises:
        NothingIndexed: there are no embeddings.
        ConfigurationError: FAISS cannot create or fill such an index.
        Mismatch: the calibration belongs to another checkpoint.
    """
    if calibration is not None and calibration.checkpoint != checkpoint.digest:
        raise Mismatch(
            f"the calibration of similarity was measured with checkpoint "
            f"{calibration.checkpoint[:12]}, not with {checkpoint.digest[:12]}; measure it again "
            "with `xemplar evaluate ranking`"
        )
    name, created = _name(store, checkpoint.digest)
    folder = store.generations / name
    index = empty_index(checkpoint, factory)
    with new_folder(folder) as beside:
        try:
            if not index.is_trained:
                index.train(sample_of(source, _TRAINING_ROWS)[1])
            ids, logits, cams = _fill(index, source, checkpoint.digest)
            _check_reconstructs(index, int(ids[0]))
            nprobe, recall = (0, 1.0) if factory in EXACT else choose_nprobe(index, source)
            with (beside / INDEX).open("wb") as out:
                # written by Python, whose errors report a full disk; FAISS's do not
                faiss.write_index(index, faiss.PyCallbackIOWriter(out.write))
        except RuntimeError as error:  # FAISS's error, with the C++ assertion as its text
            raise ConfigurationError(
                f"FAISS cannot build an index {factory!r}: {_last_line(error)}; "
                f"use {FACTORY!r} or another one that stores ids, such as 'IDMap2,IVF64,Flat'"
            ) from error
        for file, array in ((IDS, ids), (LOGITS, logits), (CAMS, cams)):
            # opened for reading too, which makes NumPy write through Python: NumPy's own error for
            # a full disk has no errno
            with (beside / file).open("w+b") as out:
                np.save(out, array)
        manifest = Manifest(
            name=name,
            created=created,
            checkpoint=checkpoint.digest,
            preprocessing=checkpoint.card.spec.digest,
            findings=checkpoint.card.findings,
            count=len(ids),
            dimension=index.d,
            factory=factory,
            nprobe=nprobe,
            recall_at_10=recall,
            calibration=calibration,
            files={file: FileRecord.of(beside / file) for file in FILES},
        )
        (beside / NAME).write_bytes(manifest.to_json())
    return manifest


_TRAINING_ROWS = 65_536
"""Training vectors of an index; FAISS uses at most 256 per inverted list."""


def _name(store: Store, digest: str) -> tuple[str, str]:
    """Choose a generation's name and time (ISO); names sort by time, with one per second."""
    while True:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%SZ}-{digest[:8]}"
        if not (store.generations / name).exists():
            return name, now.isoformat(timespec="seconds")
        time.sleep(0.05)


def _fill(
    index: Any, source: Source, digest: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float16]]:
    """Add all vectors; return ids (N,), logits (N, F) and cams (N, F, g, g).

    Only FAISS holds the vectors, so that there is one copy of them.
    """
    ids, logits, cams = [], [], []
    for batch in source():
        index.add_with_ids(np.ascontiguousarray(batch.vectors, np.float32), batch.ids)
        ids.append(batch.ids)
        logits.append(np.asarray(batch.logits, np.float32))
        cams.append(np.asarray(batch.cams, np.float16))
    if not ids:
        raise NothingIndexed(
            f"checkpoint {digest[:12]} has embedded no images yet; run `xemplar index FOLDER`"
        )
    return np.concatenate(ids), np.concatenate(logits), np.concatenate(cams)


def _check_reconstructs(index: Any, case: int) -> None:
    """Check that the index can reconstruct vectors, which every search needs."""
    if isinstance(index, faiss.IndexIDMap) and not isinstance(index, faiss.IndexIDMap2):
        raise RuntimeError("IDMap cannot reconstruct vectors, IDMap2 can")  # noqa: TRY004
    lists = inverted_lists(index)
    if lists is not None:
        lists.set_direct_map_type(faiss.DirectMap.Hashtable)  # id -> position; saved with the index
    index.reconstruct(case)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][-200:]
