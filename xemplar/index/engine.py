"""Where index generations live: in files of the store, or in Milvus.

`Store.index_url` decides. The functions here work on either and are those that `xemplar.index`
exports; all else in this package belongs to one of the two.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xemplar.archive import artefact
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.errors import ConfigurationError, Mismatch
from xemplar.index import builder, generation, inverted, published
from xemplar.index.builder import Source
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.exact import within
from xemplar.index.generation import Hits
from xemplar.index.inverted import AUTO
from xemplar.index.manifest import IDS, Manifest, check_files, read_manifest
from xemplar.index.milvus import collection
from xemplar.index.milvus.engine import MilvusEngine
from xemplar.index.published import DamagedGeneration
from xemplar.model.checkpoint import Checkpoint


class SearchableGeneration(Protocol):
    """An open index generation; see `Generation`, whose methods these are."""

    manifest: Manifest

    def __len__(self) -> int: ...

    def __contains__(self, case: int) -> bool: ...

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids of all its cases, int64 (N,), ascending."""

    def search(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """Find the k most similar cases, or fewer if fewer remain."""

    def vector(self, case: int) -> npt.NDArray[np.float32]:
        """Return the embedding of a case, float32 (C,)."""

    def cams(self, case: int) -> npt.NDArray[np.float32]:
        """Return the Grad-CAM maps of a case, float32 (F, g, g)."""

    def logits(self, case: int) -> npt.NDArray[np.float32]:
        """Return the logits of a case, float32 (F,), before calibration."""


def build(
    store: Store,
    checkpoint: Checkpoint,
    source: Source,
    *,
    catalog: Catalog | None = None,
    factory: str = AUTO,
    calibration: SimilarityCalibration | None = None,
) -> Manifest:
    """Build a generation without publishing it (see `publish`).

    Args:
        store: destination.
        checkpoint: the one that produced the embeddings.
        source: embeddings in order of ids; read once for files, up to three times for Milvus.
        catalog: of the store; Milvus also stores the metadata that searches filter by.
        factory: FAISS factory string (see `known_factory`); `AUTO` for the one that suits the
            number of cases.
        calibration: maps similarity to the probability of a shared finding, if measured.

    Raises:
        NothingIndexed: there are no embeddings.
        ConfigurationError: the factory is unknown, or has more lists than there are cases.
        Mismatch: the calibration belongs to another checkpoint.
        StorageError: the disk is full, read-only or fails, or the server does not answer; nothing
            is left of the generation.
    """
    if calibration is not None and calibration.checkpoint != checkpoint.digest:
        raise Mismatch(
            f"the calibration of similarity was measured with checkpoint "
            f"{calibration.checkpoint[:12]}, not with {checkpoint.digest[:12]}; measure it again "
            "with `xemplar evaluate ranking`"
        )
    factory = known_factory(store, factory)
    if not store.index_url:
        return builder.build(store, checkpoint, source, factory=factory, calibration=calibration)
    return MilvusEngine(store).build(
        checkpoint, source, _needed(catalog), factory=factory, calibration=calibration
    )


def known_factory(store: Store, factory: str) -> str:
    """Return a FAISS factory string that an index can be built with there, or `AUTO`.

    Raises:
        ConfigurationError: it is another one; names those that can be used. Graphs (HNSW) lose
            neighbours under a filter, and every catalog can be filtered.
    """
    known = collection.known_factory if store.index_url else inverted.known_factory
    return known(factory)


def open_generation(
    store: Store,
    checkpoint: Checkpoint,
    name: str | None = None,
    catalog: Catalog | None = None,
) -> SearchableGeneration:
    """Open a generation after checking its checkpoint, and that it is whole.

    Files are mapped and their sizes compared; Milvus is asked for the ids of all cases. See
    `check_content` for more.

    Args:
        store: contains the generation.
        checkpoint: the one that will embed queries.
        name: of the generation; None for the live one.
        catalog: of the store; from it a generation in Milvus has its cases' outputs.

    Raises:
        NothingIndexed: no generation was published yet.
        NotFound: there is no generation of that name.
        CorruptArtefact: a part of it is missing or damaged, or contradicts the manifest.
        Mismatch: it was built with another checkpoint, preprocessing or metric.
        IndexUnreachable: the server does not answer.
    """
    if not store.index_url:
        return generation.open_generation(store, checkpoint, name)
    return MilvusEngine(store).open(checkpoint, _needed(catalog), name)


def manifest_of(store: Store, name: str) -> Manifest:
    """Read a generation's manifest.

    Raises:
        NotFound: there is no generation of that name.
        CorruptArtefact: its manifest cannot be read.
        IndexUnreachable: the server does not answer.
    """
    if not store.index_url:
        return read_manifest(published.folder_of(name, store))
    return MilvusEngine(store).manifest(name)


def check_content(store: Store, name: str) -> Manifest:
    """Read a generation's manifest, and refuse the generation if its content was changed.

    Files are read and their digests compared. Milvus keeps no digests; there the cases are loaded
    and counted.

    Raises:
        NotFound: there is no generation of that name.
        CorruptArtefact: names the file or collection, and the remedy.
        IndexUnreachable: the server does not answer.
    """
    if store.index_url:
        return MilvusEngine(store).check_content(name)
    folder = published.folder_of(name, store)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    return manifest


def current(store: Store) -> str:
    """Return the name of the live generation.

    Raises:
        NothingIndexed: no generation was published yet.
        CorruptArtefact: the generation named as live does not exist.
        IndexUnreachable: the server does not answer.
    """
    return MilvusEngine(store).current() if store.index_url else published.current(store)


def generations(store: Store) -> tuple[Manifest | DamagedGeneration, ...]:
    """Return all generations, oldest first, including damaged ones.

    Raises:
        IndexUnreachable: the server does not answer.
    """
    return MilvusEngine(store).generations() if store.index_url else published.generations(store)


def publish(store: Store, name: str) -> None:
    """Make a generation live, atomically; publishing an older one is a rollback.

    Raises:
        NotFound: there is no generation of that name.
        CorruptArtefact: its manifest cannot be read.
        IndexUnreachable: the server does not answer.
    """
    if store.index_url:
        MilvusEngine(store).publish(name)
    else:
        published.publish(store, name)


def remove(store: Store, name: str) -> None:
    """Delete a generation; refuse to delete the live one.

    Raises:
        NotFound: there is no generation of that name.
        ConfigurationError: it is the live one.
        IndexUnreachable: the server does not answer.
    """
    if store.index_url:
        MilvusEngine(store).remove(name)
    else:
        published.remove(store, name)


def sweep(store: Store) -> None:
    """Delete what killed jobs left of unfinished generations."""
    artefact.sweep(store.generations)
    if store.index_url:
        MilvusEngine(store).sweep()


def held(
    store: Store, catalog: Catalog, removed: npt.NDArray[np.int64]
) -> Mapping[str, npt.NDArray[np.int64]]:
    """Tell which removed cases the generations hold, by their names.

    A generation whose ids cannot be read counts as holding all of them.

    Args:
        store: contains the generations.
        catalog: of the store.
        removed: ids of removed cases, int64 (n,), ascending.

    Raises:
        IndexUnreachable: the server does not answer.
    """
    if store.index_url:
        return MilvusEngine(store).held(removed, catalog)
    paths = sorted(store.generations.glob(f"*/{IDS}"))
    return {path.parent.name: _held(path, removed) for path in paths}


def check_answers(store: Store) -> None:
    """Refuse an index that cannot be searched now; files always can.

    Raises:
        IndexUnreachable: the server does not answer, or has not loaded the live generation.
    """
    if store.index_url:
        MilvusEngine(store).check()


def _held(path: Path, removed: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the removed cases in a generation, from its ascending ids."""
    try:
        ids = np.load(path, mmap_mode="r")
        contained = within(removed, ids)
    except FileNotFoundError:
        return removed[:0]  # deleted in the meantime
    except (OSError, ValueError, TypeError):
        return removed
    found: npt.NDArray[np.int64] = removed[contained]
    return found


def _needed(catalog: Catalog | None) -> Catalog:
    if catalog is None:
        raise ConfigurationError(
            "an index in Milvus is used together with its catalog; empty the index URL "
            "(XEMPLAR_INDEX_URL) to use the one in the store's folder"
        )
    return catalog
