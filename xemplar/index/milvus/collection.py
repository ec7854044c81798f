"""Collections of Milvus: how a generation is stored there, written and searched.

A collection has the fields of `xemplar.index.milvus.columns`, and in its properties the manifest,
the names behind the fields' numbers, and the catalog's version that they are from. It appears
whole or not at all: it is filled under a name of its own and renamed when it is complete.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from xemplar.errors import CorruptArtefact, IndexUnreachable
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.inverted import FLAT
from xemplar.index.manifest import SCHEMA, Manifest
from xemplar.index.milvus.columns import ARRAYS, FIELDS, MOST_FINDINGS, Names, in_list
from xemplar.index.milvus.connection import ANSWER_SECONDS, WORK_SECONDS, answered, connect

if TYPE_CHECKING:
    from pymilvus import MilvusClient

VECTOR = "vector"
PROPERTY = "xemplar.generation"

UNFINISHED = "building_"
FINISHED = "generation_"
CURRENT = "current"

MOST_READ = 1024
"""Vectors read at once."""

_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True)
class IndexKind:
    """An index type of Milvus.

    Attributes:
        name: Milvus's own.
        lists: number of inverted lists; 0 if it has none.
    """

    name: str
    lists: int = 0

    @classmethod
    def of(cls, factory: str) -> Self:
        """Read a FAISS factory string, of exact search or inverted lists (see `known_factory`)."""
        if factory == FLAT:
            return cls("FLAT")
        lists, _ = factory.removeprefix("IVF").split(",")
        return cls("IVF_SQ8", int(lists))

    @property
    def factory(self) -> str:
        """The FAISS factory string."""
        return f"IVF{self.lists},SQ8" if self.lists else FLAT

    @property
    def full_precision(self) -> bool:
        """Whether Milvus compares float32 vectors."""
        return not self.lists


@dataclass(frozen=True, eq=False)
class Collected:
    """A complete collection.

    Attributes:
        url: of the server.
        collection: name there.
        manifest: of the generation.
        names: numbers of the names in its fields.
        version: `Catalog.version` that its content is from, or newer.
        last: the highest id in it.
    """

    url: str
    collection: str
    manifest: Manifest
    names: Names
    version: int
    last: int

    @property
    def full_precision(self) -> bool:
        """Whether similarities by Milvus are those of float32 vectors."""
        return self._kind.full_precision

    @property
    def _kind(self) -> IndexKind:
        return IndexKind.of(self.manifest.factory)

    def search(
        self, vector: npt.NDArray[np.float32], limit: int, within: str = "", *, every: bool = False
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the nearest cases by Milvus: ids int64 (n,), similarity float32 (n,), descending.

        Args:
            vector: float32 (C,).
            limit: number of cases, at most.
            within: expression of the cases to search among; empty for all.
            every: search all inverted lists.

        Raises:
            IndexUnreachable: the server does not answer, or the collection is gone.
        """
        probes = self.manifest.probes
        nprobe = self._kind.lists if every or not probes else probes[0].nprobe
        return nearest(self.url, self.collection, vector, limit, within, nprobe)

    def vectors(self, ids: Sequence[int]) -> Mapping[int, npt.NDArray[np.float32]]:
        """Return the embeddings of cases in it by their ids, float32 (C,) each.

        Raises:
            IndexUnreachable: the server does not answer, or does not return all of them.
        """
        found: dict[int, npt.NDArray[np.float32]] = {}
        for start in range(0, len(ids), MOST_READ):
            some = ids[start : start + MOST_READ]
            with answered(self.url):
                rows = connect(self.url).query(
                    self.collection,
                    filter=in_list(some),
                    output_fields=["case", VECTOR],
                    timeout=ANSWER_SECONDS,
                )
            found |= {int(row["case"]): np.asarray(row[VECTOR], np.float32) for row in rows}
        if len(found) != len(set(ids)):
            raise IndexUnreachable(
                f"the collection {self.collection} in Milvus returned {len(found):,} of "
                f"{len(ids):,} cases; see whether all its parts are loaded"
            )
        return found

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all cases, int64 (n,), ascending.

        Raises:
            CorruptArtefact: a part is missing.
        """
        found = _ids(self.url, self.collection)
        if len(found) != self.manifest.count or (np.diff(found) <= 0).any():
            raise CorruptArtefact(
                f"the collection {self.collection} holds {len(found):,} cases, and its manifest "
                f"says {self.manifest.count:,}; run `xemplar reindex` to build a new generation, "
                "or go back to an older one with `xemplar generations activate`"
            )
        return found


def read(url: str, collection: str) -> Collected:
    """Read what a collection says about itself.

    Raises:
        NotThere: there is none of that name.
        CorruptArtefact: it was not made by this software, or by another version of it.
    """
    with answered(url):
        about = connect(url).describe_collection(collection, timeout=ANSWER_SECONDS)
    name = about["collection_name"]
    try:
        said = json.loads(about["properties"][PROPERTY])
        fields = said["manifest"]
        if fields["schema"] != SCHEMA:
            raise CorruptArtefact(
                f"the collection {name} has schema {fields['schema']!r}; this software reads "
                f"{SCHEMA}; run `xemplar reindex` to build a new generation"
            )
        if fields["calibration"] is not None:
            fields["calibration"] = SimilarityCalibration.from_dict(fields["calibration"])
        manifest = _MANIFEST.validate_python(vars(Manifest(**fields)))
        names = Names(**said["names"])
        return Collected(url, name, manifest, names, said["version"], said["last"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise CorruptArtefact(
            f"the collection {name} does not say what it holds; run `xemplar reindex` to build a "
            "new generation"
        ) from error


def create(url: str, stamp: str, dimension: int) -> str:
    """Create an empty collection; return its name, of an unfinished one."""
    from pymilvus import DataType

    client = connect(url)
    name = f"{UNFINISHED}{stamp}_{secrets.token_hex(4)}"
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("case", DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    for one in FIELDS:
        schema.add_field(one, DataType.INT32)
    for one in ARRAYS:
        schema.add_field(
            one, DataType.ARRAY, element_type=DataType.INT32, max_capacity=MOST_FINDINGS
        )
    with answered(url):
        # it never changes once it is loaded, so no search has to wait for the latest writes
        client.create_collection(
            name, schema=schema, consistency_level="Eventually", timeout=WORK_SECONDS
        )
    return name


def insert(url: str, collection: str, rows: Iterable[dict[str, Any]]) -> None:
    """Add rows with all fields of `create`."""
    with answered(url):
        connect(url).insert(collection, list(rows), timeout=WORK_SECONDS)


def finish(
    url: str,
    collection: str,
    kind: IndexKind,
    about: Callable[[], Collected],
) -> Manifest:
    """Index and load a filled collection, describe it, and give it its name.

    Args:
        url: of the server.
        collection: name of the unfinished one.
        kind: of its index.
        about: describes it, under the name that it gets; called when it can be searched.
    """
    client = connect(url)
    index = client.prepare_index_params()
    index.add_index(
        VECTOR,
        index_type=kind.name,
        metric_type="IP",
        params={"nlist": kind.lists} if kind.lists else {},
    )
    with answered(url):
        client.flush(collection, timeout=WORK_SECONDS)
        client.create_index(collection, index, timeout=WORK_SECONDS)
        client.load_collection(collection, timeout=WORK_SECONDS)
    made = about()
    said = {
        "manifest": asdict(made.manifest),
        "names": asdict(made.names),
        "version": made.version,
        "last": made.last,
    }
    with answered(url):
        client.alter_collection_properties(
            collection, {PROPERTY: json.dumps(said)}, timeout=ANSWER_SECONDS
        )
        client.rename_collection(collection, made.collection, timeout=ANSWER_SECONDS)
    return made.manifest


def nearest(
    url: str,
    collection: str,
    vector: npt.NDArray[np.float32],
    limit: int,
    within: str,
    probes: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Search a collection; see `Collected.search`."""
    with answered(url):
        (found,) = connect(url).search(
            collection,
            data=[vector],
            anns_field=VECTOR,
            limit=limit,
            filter=within,
            search_params={"metric_type": "IP", "params": {"nprobe": probes} if probes else {}},
            timeout=ANSWER_SECONDS,
        )
        ids = np.array([hit["id"] for hit in found], np.int64)
        return ids, np.array([hit["distance"] for hit in found], np.float32)


def _ids(url: str, collection: str) -> npt.NDArray[np.int64]:
    client: MilvusClient = connect(url)
    with answered(url):
        pages = client.query_iterator(
            collection, batch_size=16_384, filter="", output_fields=["case"], timeout=WORK_SECONDS
        )
        found = [np.empty(0, np.int64)]
        while page := pages.next():
            found.append(np.array([row["case"] for row in page], np.int64))
        pages.close()
    return np.concatenate(found)
