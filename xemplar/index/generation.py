"""`Generation`: an open, immutable index to search, with the outputs stored for each case."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from xemplar.archive.store import Store
from xemplar.errors import CorruptArtefact, InvalidArgument, NotFound
from xemplar.index.exact import Mask, Matrix, candidates, ranked, rows_of
from xemplar.index.inverted import InvertedFile
from xemplar.index.manifest import (
    CAMS,
    FAISS_INDEX,
    FIRST_SCHEMA,
    IDS,
    INVERTED_FILE,
    LOGITS,
    VECTORS,
    Manifest,
    check_fit,
    read_manifest,
)
from xemplar.index.published import current
from xemplar.index.rows import MappedFolder
from xemplar.model.checkpoint import Checkpoint

UNIT_TOLERANCE = 1e-3
"""Allowed deviation of an embedding's length from 1."""

DENSE = 16
"""Ids up to so many times the number of cases are looked up in a table rather than sorted."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The most similar cases, best first; ties in order of ids.

    Attributes:
        ids: int64 (n,).
        similarity: float32 (n,), cosine in [-1, 1], descending.
        recall_at_10: fraction of the exact 10 nearest cases that such a search finds, as measured
            when the index was built; 1.0 if all cases were compared.
    """

    ids: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]
    recall_at_10: float = 1.0


def check_search(vector: npt.NDArray[np.float32], k: int, dimension: int) -> None:
    """Refuse a search for anything but an embedding, float32 (dimension,) of unit length.

    Raises:
        InvalidArgument: wrong shape, dtype, length or k.
    """
    if vector.dtype != np.float32 or vector.shape != (dimension,):
        raise InvalidArgument(
            f"search takes an embedding float32 {(dimension,)}, not {vector.dtype} {vector.shape}"
        )
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) <= UNIT_TOLERANCE:  # so that NaN is refused too
        raise InvalidArgument(
            f"the embedding has length {length:.6g} instead of 1, so its inner products are "
            "not cosine similarities"
        )
    if k < 1:
        raise InvalidArgument(f"k is {k}; it must be at least 1")


class Generation:
    """An open index generation. Immutable and safe to share between threads.

    Attributes:
        manifest: its description.
    """

    def __init__(
        self,
        manifest: Manifest,
        files: MappedFolder,
        vectors: Matrix,
        inverted: InvertedFile | None = None,
    ) -> None:
        """Combine the files of a generation (see `open_generation`).

        Args:
            manifest: its description.
            files: mapped ids, logits and maps.
            vectors: float32 (N, C), in order of ids.
            inverted: lists of the vectors; None to compare all of them.
        """
        self.manifest = manifest
        self._files = files
        self._vectors = vectors
        self._inverted = inverted
        # in memory: whoever holds the ids reads them without asking for the file's length
        self._ids: npt.NDArray[np.int64] = files.array(IDS).copy()
        self._logits: npt.NDArray[np.float32] = files.array(LOGITS)
        self._cams: npt.NDArray[np.float16] = files.array(CAMS)
        self._check_content()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, case: int) -> bool:
        return self._position(case) is not None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.manifest.name

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids of all its cases, int64 (N,), ascending."""
        return self._ids

    def search(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """Find the k most similar cases, or fewer if fewer remain.

        Exclusions apply within the search, so that k other cases are found however many there are.
        Without inverted lists, and among a few cases, all are compared. Otherwise candidates come
        from the lists that the manifest's `Probe` says, and are compared by their vectors.

        Args:
            vector: float32 (C,), finite, unit length.
            k: at least 1.
            excluded: ids of cases to leave out (the query's own, its patient's).
            among: ids of the only cases to consider, int64 (n,); None for all. Ids that are not in
                this generation are ignored.
            exact: whether to compare all cases considered.

        Raises:
            InvalidArgument: wrong shape, dtype, length or k.
            CorruptArtefact: a file was cut since the generation was opened.
        """
        check_search(vector, k, self.manifest.dimension)
        self._files.check()
        allowed = None if among is None else self._mask(among)
        matching = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if len(excluded):
            allowed = np.ones(len(self), bool) if allowed is None else allowed
            some = np.fromiter(excluded, np.int64, len(excluded))
            allowed[rows_of(some, self._ids)] = False
        remaining = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if not remaining:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        k = min(k, remaining)
        probe = None if exact else self.manifest.probe(matching)
        rows, recall = np.empty(0, np.int64), 1.0
        if probe is not None and self._inverted is not None:
            rows = self._inverted.candidates(vector[None], k, probe.nprobe, allowed)[0]
            rows, recall = rows[rows >= 0], probe.recall_at_10
        if len(rows) < k:  # also if the lists that were visited hold too few
            rows, recall = candidates(self._vectors, vector, k, allowed), 1.0
        rows, similarity = ranked(self._vectors, rows, vector, k)
        return Hits(self._ids[rows], similarity, recall)

    def vector(self, case: int) -> npt.NDArray[np.float32]:
        """Return the embedding of a case, float32 (C,).

        Raises:
            NotFound: the case is not in this generation.
            CorruptArtefact: see `search`; so do `cams` and `logits`.
        """
        return np.array(self._vectors[self._row(case)])

    def cams(self, case: int) -> npt.NDArray[np.float32]:
        """Return the Grad-CAM maps of a case, float32 (F, g, g), ordered as in the manifest.

        Raises:
            NotFound: the case is not in this generation.
        """
        cams: npt.NDArray[np.float32] = self._cams[self._row(case)].astype(np.float32)
        return cams

    def logits(self, case: int) -> npt.NDArray[np.float32]:
        """Return the logits of a case, float32 (F,), before calibration.

        Raises:
            NotFound: the case is not in this generation.
        """
        return np.array(self._logits[self._row(case)])

    def _check_content(self) -> None:
        """Refuse files that are whole but contradict the manifest."""
        manifest, arrays = self.manifest, (self._vectors, self._ids, self._logits, self._cams)
        found: dict[str, Any] = {
            "count": {len(one) for one in arrays},
            "dimension": self._vectors.shape[1:],
            "findings": {self._logits.shape[1:], self._cams.shape[1:2]},
            "order of ids": bool((np.diff(self._ids) > 0).all()),
            "types": [one.dtype.str for one in arrays],
        }
        said: dict[str, Any] = {
            "count": {manifest.count},
            "dimension": (manifest.dimension,),
            "findings": {(len(manifest.findings),)},
            "order of ids": True,
            "types": ["<f4", "<i8", "<f4", "<f2"],
        }
        wrong = [
            f"{what} {found[what]}, not {said[what]}" for what in said if found[what] != said[what]
        ]
        if wrong:
            raise CorruptArtefact(
                f"generation {self.name} has {'; '.join(wrong)}; run `xemplar index` to build a "
                "new generation"
            )

    def _mask(self, ids: npt.NDArray[np.int64]) -> Mask:
        """Return a mask of cases by their ids, bool (N,)."""
        first, last = int(self._ids[0]), int(self._ids[-1])
        if not len(ids) or last >= DENSE * len(self):
            found = np.zeros(len(self), bool)
            found[rows_of(ids, self._ids)] = True
            return found
        # a table takes a tenth of the time of a binary search for each of many ids
        table = np.zeros(last + 1, bool)
        if ids.min() < 0 or ids.max() > last:
            ids = ids[(ids >= 0) & (ids <= last)]
        table[ids] = True
        return table[first:] if last - first + 1 == len(self) else table[self._ids]

    def _row(self, case: int) -> int:
        position = self._position(case)
        if position is None:
            raise NotFound(f"case {case} is not in the index generation {self.name}")
        self._files.check()
        return position

    def _position(self, case: int) -> int | None:
        position = int(np.searchsorted(self._ids, case))
        return position if position < len(self._ids) and self._ids[position] == case else None


def open_generation(store: Store, checkpoint: Checkpoint, name: str | None = None) -> Generation:
    """Open a generation after checking its checkpoint and the sizes of its files.

    Its files are mapped, not read; `check_files` also compares their digests. One of the first
    schema, whose vectors are in a FAISS index, is read into memory and searched exactly.

    Args:
        store: contains the generation.
        checkpoint: the one that will embed queries.
        name: of the generation; None for the live one.

    Raises:
        NothingIndexed: no generation was published yet.
        NotFound: there is no generation of that name.
        CorruptArtefact: a file is missing or cut, or contradicts the manifest.
        Mismatch: it was built with another checkpoint, preprocessing or metric.
    """
    name = name or current(store)
    folder = store.generations / name
    if not folder.is_dir() or folder.parent != store.generations:
        raise NotFound(f"there is no generation {name[:64]!r} in {store.generations}")
    manifest = read_manifest(folder)
    check_fit(manifest, checkpoint)
    files = MappedFolder(folder, {file: record.size for file, record in manifest.files.items()})
    if manifest.schema == FIRST_SCHEMA:
        return Generation(manifest, files, _vectors_of(folder / FAISS_INDEX, files.array(IDS)))
    inverted = None
    if INVERTED_FILE in manifest.files:
        shape = (manifest.count, manifest.dimension)
        inverted = InvertedFile.open(folder / INVERTED_FILE, manifest.factory, shape)
    return Generation(manifest, files, files.array(VECTORS), inverted)


def _vectors_of(path: Path, ids: npt.NDArray[np.int64]) -> Matrix:
    """Read the vectors of cases, float32 (N, C), from a FAISS index of the first schema."""
    try:
        vectors: Matrix = faiss.read_index(str(path)).reconstruct_batch(ids)
    except RuntimeError as error:
        raise CorruptArtefact(
            f"{path} cannot be read; run `xemplar reindex` to build a new generation"
        ) from error
    return vectors
