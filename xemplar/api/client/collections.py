"""Operations of `Client` on collections."""

from xemplar.api.client.connection import Connection
from xemplar.api.client.requests import given_fields, path_of
from xemplar.api.collections import (
    CollectionChange,
    CollectionDetailOut,
    CollectionIn,
    CollectionList,
    CollectionOut,
    CollectionOwner,
    EntryIn,
    GivenCollections,
)


class CollectionOperations:
    """Methods of `Client`, one for each operation on collections."""

    _service: Connection

    def collections(self) -> list[CollectionOut]:
        """Lists the caller's collections, those that changed last first."""
        return self._service.read(CollectionList, "GET", "/collections").collections

    def create_collection(self, collection: CollectionIn) -> CollectionOut:
        """Makes an empty collection."""
        fields = given_fields(collection)
        return self._service.read(
            CollectionOut, "POST", "/collections", json=fields, repeatable=False
        )

    def collection(self, collection_id: str) -> CollectionDetailOut:
        """Returns a collection of the caller, or a shared one, with its content."""
        path = path_of("collections", collection_id)
        return self._service.read(CollectionDetailOut, "GET", path)

    def change_collection(self, collection_id: str, change: CollectionChange) -> CollectionOut:
        """Changes the given fields of a collection; `shared` lets every key read it."""
        fields, path = given_fields(change), path_of("collections", collection_id)
        return self._service.read(CollectionOut, "PATCH", path, json=fields)

    def remove_collection(self, collection_id: str) -> None:
        """Deletes a collection, and the queries that are in no other."""
        self._service.send("DELETE", path_of("collections", collection_id), repeatable=False)

    def collect_case(self, collection_id: str, case_id: str, entry: EntryIn = EntryIn()) -> None:
        """Puts a case into a collection, or replaces its note."""
        path = path_of("collections", collection_id, "cases", case_id)
        self._service.send("PUT", path, json=given_fields(entry))

    def collect_query(self, collection_id: str, query_id: str, entry: EntryIn = EntryIn()) -> None:
        """Saves a query with its image in a collection, or replaces its note."""
        path = path_of("collections", collection_id, "queries", query_id)
        self._service.send("PUT", path, json=given_fields(entry))

    def remove_entry(self, collection_id: str, entry_id: str) -> None:
        """Takes a case or a query out of a collection."""
        path = path_of("collections", collection_id, "entries", entry_id)
        self._service.send("DELETE", path, repeatable=False)

    def give_collections(self, key_id: str, owner: CollectionOwner) -> GivenCollections:
        """Gives a key all collections of another one, such as one that expired."""
        path, fields = path_of("keys", key_id, "collections"), owner.model_dump()
        return self._service.read(GivenCollections, "POST", path, json=fields)
