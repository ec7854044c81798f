"""`MilvusEngine`: index generations as collections of a Milvus server.

A collection is a generation, and the alias `CURRENT` names the live one; changing it is the swap.
"""

import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from xemplar.archive.permissions import make_folder
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    IndexUnreachable,
    NotFound,
    NothingIndexed,
)
from xemplar.index.builder import Source
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.inverted import AUTO
from xemplar.index.manifest import Manifest, Probe, check_fit
from xemplar.index.milvus.building import fill, measured
from xemplar.index.milvus.collection import (
    CURRENT,
    FINISHED,
    UNFINISHED,
    Collected,
    create,
    factory_for,
    finish,
    lists_of,
    read,
)
from xemplar.index.milvus.columns import NONE
from xemplar.index.milvus.connection import (
    ANSWER_SECONDS,
    WORK_SECONDS,
    NotThere,
    answered,
    connect,
)
from xemplar.index.milvus.generation import MilvusGeneration
from xemplar.index.published import DamagedGeneration
from xemplar.model.checkpoint import Checkpoint

ABANDONED = timedelta(days=1)
"""Age at which an unfinished collection counts as left by a killed job."""

NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
"""Name of a generation."""

STAMP = "%Y%m%dT%H%M%SZ"


class MilvusEngine:
    """Builds, publishes, opens and removes generations in Milvus."""

    def __init__(self, store: Store) -> None:
        """Use the server that the store names; nothing is asked of it yet.

        Args:
            store: also holds what belongs to a generation but not to its index (the validator).
        """
        self._url = store.index_url
        self._folder = store.generations

    def build(
        self,
        checkpoint: Checkpoint,
        source: Source,
        catalog: Catalog,
        *,
        factory: str,
        calibration: SimilarityCalibration | None,
    ) -> Manifest:
        """Build a generation without publishing it; see `xemplar.index.engine.build`."""
        version = catalog.version()
        cases = catalog.count(checkpoint.digest)
        built = factory_for(cases) if factory == AUTO else factory
        lists = lists_of(built)
        architecture = checkpoint.card.architecture
        name, created = self._new_name(checkpoint.digest)
        unfinished = create(self._url, name.partition("-")[0], architecture.embedding_size)
        try:
            count, last, names = fill(self._url, unfinished, source, catalog)
            if not count:
                raise NothingIndexed(
                    f"checkpoint {checkpoint.digest[:12]} has embedded no images yet; run "
                    "`xemplar index FOLDER`"
                )
            if lists > count:
                raise ConfigurationError(
                    f"{built!r} has {lists:,} lists for {count:,} cases; use fewer lists, or "
                    f"{AUTO!r}"
                )

            def about() -> Collected:
                probes: tuple[Probe, ...] = ()
                if lists:
                    probes = (measured(self._url, unfinished, lists, source, count),)
                manifest = Manifest(
                    name=name,
                    created=created,
                    checkpoint=checkpoint.digest,
                    preprocessing=checkpoint.card.spec.digest,
                    findings=checkpoint.card.findings,
                    count=count,
                    dimension=architecture.embedding_size,
                    factory=built,
                    automatic=factory == AUTO,
                    probes=probes,
                    recall_at_10=probes[0].recall_at_10 if probes else 1.0,
                    calibration=calibration,
                    files={},
                )
                return Collected(self._url, _collection(name), manifest, names, version, last)

            manifest = finish(self._url, unfinished, built, about)
        except BaseException:
            self._drop_unfinished(unfinished)
            raise
        make_folder(self._folder / name)
        return manifest

    def open(
        self, checkpoint: Checkpoint, catalog: Catalog, name: str | None = None
    ) -> MilvusGeneration:
        """Open a generation; see `xemplar.index.engine.open_generation`."""
        collected = self._collected(name) if name else self._live()
        check_fit(collected.manifest, checkpoint)
        self._load(collected.collection)
        return MilvusGeneration(collected, collected.ids(), catalog)

    def manifest(self, name: str) -> Manifest:
        """Read a generation's manifest."""
        return self._collected(name).manifest

    def check_content(self, name: str) -> Manifest:
        """Read a generation's manifest, and count its cases; it stays loaded."""
        collected = self._collected(name)
        self._load(collected.collection)
        collected.ids()
        return collected.manifest

    def generations(self) -> tuple[Manifest | DamagedGeneration, ...]:
        """Return all generations, oldest first, including damaged ones."""
        return tuple(map(self._described, self._names()))

    def current(self) -> str:
        """Return the name of the live generation."""
        return self._live().manifest.name

    def publish(self, name: str) -> None:
        """Make a generation live: load it, move the alias, and release those of long ago.

        The one that was live stays loaded, for services that follow in a moment.
        """
        collected = self._collected(name)
        self._load(collected.collection)
        client, before = connect(self._url), self._alias()
        try:
            with answered(self._url):
                client.alter_alias(collected.collection, CURRENT, timeout=ANSWER_SECONDS)
        except NotThere:  # the first one
            with answered(self._url):
                client.create_alias(collected.collection, CURRENT, timeout=ANSWER_SECONDS)
        for other in map(_collection, self._names()):
            if other not in (collected.collection, before):
                with answered(self._url):
                    client.release_collection(other, timeout=WORK_SECONDS)

    def remove(self, name: str) -> None:
        """Delete a generation; refuse to delete the live one."""
        if name not in self._names():
            raise self._not_found(name)
        collection = _collection(name)
        if self._alias() == collection:
            raise ConfigurationError(
                f"generation {name} is live and cannot be deleted; publish another one first"
            )
        with answered(self._url):
            connect(self._url).drop_collection(collection, timeout=WORK_SECONDS)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what killed jobs left unfinished, a day after."""
        for name in self._collections(UNFINISHED):
            begun = datetime.strptime(name.removeprefix(UNFINISHED)[:16], STAMP).replace(tzinfo=UTC)
            if datetime.now(UTC) - begun > ABANDONED:
                self._drop_unfinished(name)

    def held(
        self, removed: npt.NDArray[np.int64], catalog: Catalog
    ) -> Mapping[str, npt.NDArray[np.int64]]:
        """Tell which removed cases each generation may hold; see `xemplar.index.engine`.

        Those removed after it was built, as ids are given in order and never again.
        """
        found = {}
        for name in self._names():
            try:
                collected = self._collected(name)
            except CorruptArtefact:
                found[name] = removed
                continue
            since = catalog.removed(collected.version)
            late = np.fromiter(since, np.int64, len(since))
            found[name] = removed[np.isin(removed, late[late <= collected.last])]
        return found

    def check(self) -> None:
        """Refuse a server that cannot answer queries now.

        Raises:
            IndexUnreachable: it does not answer, or has not loaded the live generation yet.
        """
        try:
            with answered(self._url):
                # a server that starts is loaded before it can be asked
                connect(self._url).query(CURRENT, filter=NONE, timeout=ANSWER_SECONDS)
        except NotThere as error:
            raise IndexUnreachable("Milvus has no live generation") from error

    def _live(self) -> Collected:
        try:
            return read(self._url, CURRENT)
        except NotThere as error:
            names = ", ".join(self._names())
            if not names:
                raise NothingIndexed(
                    "nothing is indexed in Milvus yet; run `xemplar index FOLDER`, or `xemplar "
                    "reindex` if the catalog has cases"
                ) from error
            raise CorruptArtefact(
                f"the alias {CURRENT!r} names no generation in Milvus, where there are: {names}; "
                "run `xemplar generations activate NAME` with one of them, or `xemplar reindex`"
            ) from error

    def _collected(self, name: str) -> Collected:
        try:
            if NAME.fullmatch(name):
                return read(self._url, _collection(name))
        except NotThere:
            pass  # reported below
        raise self._not_found(name)

    def _not_found(self, name: str) -> NotFound:
        names = ", ".join(self._names()) or "none"
        return NotFound(f"there is no generation {name[:64]!r}; there are: {names}")

    def _described(self, name: str) -> Manifest | DamagedGeneration:
        try:
            return self._collected(name).manifest
        except CorruptArtefact as error:
            return DamagedGeneration(name, str(error))

    def _alias(self) -> str | None:
        """Return the name of the live generation's collection; None if the alias names none."""
        try:
            with answered(self._url):
                about = connect(self._url).describe_collection(CURRENT, timeout=ANSWER_SECONDS)
        except NotThere:
            return None
        return str(about["collection_name"])

    def _load(self, collection: str) -> None:
        with answered(self._url):
            connect(self._url).load_collection(collection, timeout=WORK_SECONDS)

    def _collections(self, prefix: str) -> list[str]:
        with answered(self._url):
            names = connect(self._url).list_collections(timeout=ANSWER_SECONDS)
        return sorted(name for name in names if name.startswith(prefix))

    def _names(self) -> list[str]:
        return [
            name.removeprefix(FINISHED).replace("_", "-") for name in self._collections(FINISHED)
        ]

    def _new_name(self, digest: str) -> tuple[str, str]:
        """Choose a generation's name and time (ISO); names sort by time, with one per second."""
        there = self._names()
        while True:
            now = datetime.now(UTC)
            name = f"{now.strftime(STAMP)}-{digest[:8]}"
            if name not in there:
                return name, now.isoformat(timespec="seconds")
            time.sleep(0.05)

    def _drop_unfinished(self, collection: str) -> None:
        with suppress(IndexUnreachable, NotThere), answered(self._url):  # the next sweep will
            connect(self._url).drop_collection(collection, timeout=WORK_SECONDS)


def _collection(name: str) -> str:
    """Return the name of a generation's collection; Milvus allows no hyphen."""
    return FINISHED + name.replace("-", "_")
