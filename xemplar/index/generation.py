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
from xemplar.index.manifest import (
    CAMS,
    IDS,
    INDEX,
    LOGITS,
    METRIC,
    Manifest,
    check_files,
    check_fit,
    read_manifest,
)
from xemplar.index.published import current
from xemplar.index.recall import inverted_lists
from xemplar.model.checkpoint import Checkpoint

UNIT_TOLERANCE = 1e-3
"""Allowed deviation of an embedding's length from 1."""

TIE = 1e-6
"""Similarities that differ by less count as ties, which FAISS may cut off at any point."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The most similar cases, best first; ties in order of ids.

    Attributes:
        ids: int64 (n,).
        similarity: float32 (n,), cosine in [-1, 1], descending.
    """

    ids: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


class Generation:
    """An open index generation. Immutable and safe to share between threads.

    Attributes:
        manifest: its description.
    """

    def __init__(self, manifest: Manifest, index: Any, ids: Any, logits: Any, cams: Any) -> None:
        self.manifest = manifest
        self._index = index
        self._ids: npt.NDArray[np.int64] = ids
        self._logits: npt.NDArray[np.float32] = logits
        self._cams: npt.NDArray[np.float16] = cams
        lists = inverted_lists(index)
        self._lists: int | None = None if lists is None else lists.nlist

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
    ) -> Hits:
        """Find the k most similar cases, or fewer if fewer remain.

        Exclusions apply within the search, so that k other cases are found however many there are.
        With ``among``, all inverted lists are searched: rare cases are found wherever they are, and
        the result of a flat or inverted index is exact.

        Args:
            vector: float32 (C,), finite, unit length.
            k: at least 1.
            excluded: ids of cases to leave out (the query's own, its patient's).
            among: ids of the only cases to consider, int64 (n,); None for all. Ids that are not in
                this generation are ignored.

        Raises:
            InvalidArgument: wrong shape, dtype, length or k.
        """
        self._check(vector, k)
        allowed = self._allowed(excluded, among)
        remaining = int(allowed.sum())
        wanted = min(k, remaining)
        if wanted == 0:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        parameters = self._parameters(allowed, exact=among is not None)
        fetched = min(wanted + 8, remaining)
        while True:
            similarity, ids = self._fetch(vector, fetched, parameters)
            # a tie at the end of the results may continue beyond them: then fetch more
            tied = len(ids) == fetched and similarity[wanted - 1] - similarity[-1] < TIE
            if fetched == remaining or not tied:
                return self._ranked(vector, ids, wanted)
            fetched = min(2 * fetched, remaining)

    def vector(self, case: int) -> npt.NDArray[np.float32]:
        """Return the embedding of a case, float32 (C,), at the index's precision.

        Raises:
            NotFound: the case is not in this generation.
        """
        self._row(case)
        vector: npt.NDArray[np.float32] = self._index.reconstruct(int(case))
        return vector

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
        logits: npt.NDArray[np.float32] = self._logits[self._row(case)]
        return logits

    def _check(self, vector: npt.NDArray[np.float32], k: int) -> None:
        wanted = (self.manifest.dimension,)
        if vector.dtype != np.float32 or vector.shape != wanted:
            raise InvalidArgument(
                f"search takes an embedding float32 {wanted}, not {vector.dtype} {vector.shape}"
            )
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= UNIT_TOLERANCE:  # so that NaN is refused too
            raise InvalidArgument(
                f"the embedding has length {length:.6g} instead of 1, so its inner products are "
                "not cosine similarities"
            )
        if k < 1:
            raise InvalidArgument(f"k is {k}; it must be at least 1")

    def _allowed(
        self, excluded: Collection[int], among: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.bool_]:
        """Return a mask of the cases to consider, in order of ids."""
        allowed = ~np.isin(self._ids, np.fromiter(excluded, np.int64, len(excluded)))
        return allowed if among is None else allowed & np.isin(self._ids, among)

    def _parameters(self, allowed: npt.NDArray[np.bool_], *, exact: bool) -> Any:
        """Build search parameters; settings on the index would be shared by all threads."""
        options: dict[str, Any] = {}
        if not allowed.all():
            members = np.zeros(int(self._ids[-1]) + 1, bool)
            members[self._ids[allowed]] = True
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(members, bitorder="little"))
        if self._lists is None:
            return faiss.SearchParameters(**options)
        nprobe = self._lists if exact else self.manifest.nprobe
        return faiss.SearchParametersIVF(nprobe=nprobe, **options)

    def _fetch(
        self, vector: npt.NDArray[np.float32], count: int, parameters: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Query FAISS; results descend and may be fewer than ``count``."""
        similarity, ids = self._index.search(vector[None], count, params=parameters)
        found = ids[0] >= 0
        return similarity[0][found], ids[0][found]

    def _ranked(
        self, vector: npt.NDArray[np.float32], ids: npt.NDArray[np.int64], count: int
    ) -> Hits:
        """Rescore in float64 and return the best ``count``, so that equal vectors score equally.

        FAISS sums in a different order for the last few vectors.
        """
        if not len(ids):
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        scores = cosines(self._index.reconstruct_batch(ids), vector)
        order = np.lexsort((ids, -scores))[:count]
        return Hits(ids[order], scores[order])

    def _row(self, case: int) -> int:
        position = self._position(case)
        if position is None:
            raise NotFound(f"case {case} is not in the index generation {self.name}")
        return position

    def _position(self, case: int) -> int | None:
        position = int(np.searchsorted(self._ids, case))
        return position if position < len(self._ids) and self._ids[position] == case else None


def cosines(
    vectors: npt.NDArray[np.float32], vector: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return cosines, float32 (n,) in [-1, 1], of unit vectors (n, C) with a unit vector (C,).

    Sums in float64, row by row, so that a pair's result does not depend on the other rows.
    """
    products = vectors.astype(np.float64) * vector
    clipped: npt.NDArray[np.float32] = np.clip(products.sum(axis=1), -1, 1).astype(np.float32)
    return clipped


def open_generation(store: Store, checkpoint: Checkpoint, name: str | None = None) -> Generation:
    """Open a generation after checking its integrity and its checkpoint.

    Args:
        store: contains the generation.
        checkpoint: the one that will embed queries.
        name: of the generation; None for the live one.

    Raises:
        NothingIndexed: no generation was published yet.
        NotFound: there is no generation of that name.
        CorruptArtefact: a file does not match the manifest.
        Mismatch: it was built with another checkpoint, preprocessing or metric.
    """
    name = name or current(store)
    folder = store.generations / name
    if not folder.is_dir() or folder.parent != store.generations:
        raise NotFound(f"there is no generation {name[:64]!r} in {store.generations}")
    manifest = read_manifest(folder)
    check_fit(manifest, checkpoint)
    check_files(folder, manifest)
    try:
        index = faiss.read_index(str(folder / INDEX))
        ids = np.load(folder / IDS)
        logits = np.load(folder / LOGITS)
        cams = np.load(folder / CAMS, mmap_mode="r")
    except (RuntimeError, ValueError, OSError) as error:
        raise CorruptArtefact(f"{folder} cannot be opened: {error}") from error
    _check_content(folder, manifest, index, ids, logits, cams)
    return Generation(manifest, index, ids, logits, cams)


def _check_content(
    folder: Path, manifest: Manifest, index: Any, ids: Any, logits: Any, cams: Any
) -> None:
    """Refuse files that are intact but contradict the manifest."""
    found = {
        "metric": METRIC if index.metric_type == faiss.METRIC_INNER_PRODUCT else "other",
        "dimension": index.d,
        "count": {index.ntotal, len(ids), len(logits), len(cams)},
        "findings": {logits.shape[1], cams.shape[1]},
        "order of ids": bool((np.diff(ids) > 0).all()),
    }
    said = {
        "metric": manifest.metric,
        "dimension": manifest.dimension,
        "count": {manifest.count},
        "findings": {len(manifest.findings)},
        "order of ids": True,
    }
    wrong = [
        f"{what} {found[what]}, not {said[what]}" for what in said if found[what] != said[what]
    ]
    if wrong:
        raise CorruptArtefact(
            f"{folder} has {'; '.join(wrong)}; run `xemplar index` to build a new generation"
        )
