"""Collections of Milvus: how a generation is stored there, written and searched.

A collection has the fields of `xemplar.index.milvus.columns`, and in its properties the manifest,
the names behind the fields' numbers, and the catalog's version that they are from. It appears
whole or not at all: it is filled under a name of its own and renamed when it is complete.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from xemplar.errors import ConfigurationError, CorruptArtefact, IndexUnreachable
from xemplar.index import inverted
from xemplar.index.calibration import SimilarityCalibration
from xemplar.index.inverted import AUTO, FLAT
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

MOST_LISTS = 65_536
"""Inverted lists, at most; Milvus's own limit."""

_MANIFEST = TypeAdapter(Manifest)


def known_factory(factory: str) -> str:
    """Return a FAISS factory string that Milvus can index with, or `AUTO`.

    Vectors in inverted lists are in full precision, so that a search of all lists is exact.

    Raises:
        ConfigurationError: it is another one, or has too many lists.
    """
    known = inverted.known_factory(factory, FLAT)
    if known != AUTO and lists_of(known) > MOST_LISTS:
        raise ConfigurationError(
            f"index {known!r} has too many lists; Milvus takes at most {MOST_LISTS:,}"
        )
    return known


def factory_for(count: int) -> str:
    """Return the FAISS factory string for a number of cases."""
    return inverted.factory_for(count, 0, FLAT)


def lists_of(factory: str) -> int:
    """Return the number of inverted lists of an index; 0 if it has none."""
    return 0 if factory == FLAT else inverted.sizes_of(factory)[1]


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

    def search(
        self,
        vector: npt.NDArray[np.float32],
        limit: int,
        expression: str = "",
        nprobe: int | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the nearest cases by Milvus: ids int64 (n,), similarity float32 (n,), descending.

        Args:
            vector: float32 (C,).
            limit: number of cases, at most.
            expression: of the cases to search among; empty for all.
            nprobe: number of inverted lists to visit; None for all.

        Raises:
            IndexUnreachable: the server does not answer, or the collection is gone.
        """
        nprobe = lists_of(self.manifest.factory) if nprobe is None else nprobe
        return nearest(self.url, self.collection, vector, limit, expression, nprobe)

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
    factory: str,
    about: Callable[[], Collected],
) -> Manifest:
    """Index and load a filled collection, describe it, and give it its name.

    Args:
        url: of the server.
        collection: name of the unfinished one.
        factory: FAISS factory string of its index, "Flat" or inverted lists.
        about: describes it, under the name that it gets; called when it can be searched.
    """
    client, lists = connect(url), lists_of(factory)
    index = client.prepare_index_params()
    index.add_index(
        VECTOR,
        index_type="IVF_FLAT" if lists else "FLAT",
        metric_type="IP",
        params={"nlist": lists} if lists else {},
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
    expression: str,
    nprobe: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Search a collection; see `Collected.search`."""
    with answered(url):
        (found,) = connect(url).search(
            collection,
            data=[vector],
            anns_field=VECTOR,
            limit=limit,
            filter=expression,
            search_params={"metric_type": "IP", "params": {"nprobe": nprobe} if nprobe else {}},
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
