"""Routes of readers' own work: remembered queries, and collections of cases and queries."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Path, Query, Request, status

from xemplar.api import (
    AskedQuery,
    CollectionChange,
    CollectionDetailOut,
    CollectionIn,
    CollectionList,
    CollectionOut,
    CollectionOwner,
    EntryIn,
    EntryOut,
    GivenCollections,
    QueryHistory,
)
from xemplar.api.examples import CASE_ID, COLLECTION_ID
from xemplar.catalog import Case
from xemplar.errors import NotFound
from xemplar.operations.collection import Collection, CollectionEntry, SavedQuery
from xemplar.retrieval.remembering import pack

from ..admission import admin, reader
from ..problems import described
from ..record import record_of
from ..remembered import RecalledQuery
from ..service import BoundServices, root_of
from ..wire import case_out
from .common import (
    INVALID,
    NO_JSON,
    NOT_FOUND,
    CaseId,
    QueryId,
    api_router,
    remembered,
)
from .keys import NO_KEY, KeyId

MAX_HISTORY = 200

router = api_router("collections", reader)
giving = api_router("collections", admin)

CollectionId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="As GET /collections lists it.",
        examples=[COLLECTION_ID],
    ),
]
EntryId = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="Case id or query id.", examples=[CASE_ID])
]
NO_COLLECTION = described(HTTPStatus.NOT_FOUND, "No such collection, case or query.")
FULL = described(HTTPStatus.CONFLICT, "The key or the collection has reached its limit.")


@router.get("/queries", summary="List one's own remembered queries", responses=INVALID)
async def queries(
    request: Request,
    services: BoundServices,
    limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = 50,
) -> QueryHistory:
    """List the queries of the caller's key that the service remembers, newest first."""
    key, root = record_of(request).key, root_of(request)

    def work() -> QueryHistory:
        found = services.queries.history(key, limit)
        cases = services.catalog.known([one.query.image_id for one in found])
        return QueryHistory(
            queries=[_asked(one, one.query.image_id in cases, root) for one in found]
        )

    return await services.light.run(work)


@router.delete(
    "/queries/{query_id}",
    summary="Forget a query",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NOT_FOUND | INVALID,
)
async def forget_query(request: Request, services: BoundServices, query_id: QueryId) -> None:
    """Forget a query of the caller's key, with its image. Collections that it is in keep it."""
    key = record_of(request).key
    await services.light.run(lambda: services.queries.forget(query_id, key))


@router.get("/collections", summary="List one's own collections")
async def collections(request: Request, services: BoundServices) -> CollectionList:
    """List the collections of the caller's key, those that changed last first."""
    key = record_of(request).key
    found = await services.light.run(lambda: services.collections.list(key))
    return CollectionList(collections=[_collection(one, key) for one in found])


@router.post(
    "/collections",
    summary="Make a collection",
    status_code=status.HTTP_201_CREATED,
    responses=NO_JSON | FULL | INVALID,
)
async def create_collection(
    request: Request, services: BoundServices, asked: CollectionIn
) -> CollectionOut:
    """Make an empty collection, for a teaching file or for queries to be kept.

    One key may have 200 collections of 500 cases and queries each. Names and notes are sealed.
    """
    record = record_of(request)
    made = await services.light.run(
        lambda: services.collections.create(record.key, asked.name, asked.note)
    )
    record.subject = made.id
    return _collection(made, record.key)


@router.get(
    "/collections/{collection_id}",
    summary="Open a collection",
    responses=NO_COLLECTION | INVALID,
)
async def collection(
    request: Request, services: BoundServices, collection_id: CollectionId
) -> CollectionDetailOut:
    """Get a collection of the caller's key, or a shared one, with its content."""
    record, root = record_of(request), root_of(request)

    def work() -> CollectionDetailOut:
        found = services.collections.find(collection_id, record.key)
        entries = services.collections.entries(collection_id)
        cases = services.catalog.cases(one.case for one in entries if one.case is not None)
        record.shown = tuple(case.case_id for case in cases.values())
        return CollectionDetailOut(
            **_collection(found, record.key).model_dump(),
            content=[_entry(one, cases.get(one.case or 0), root) for one in entries],
        )

    return await services.light.run(work)


@router.patch(
    "/collections/{collection_id}",
    summary="Change or share a collection",
    responses=NO_JSON | NO_COLLECTION | INVALID,
)
async def change_collection(
    request: Request,
    services: BoundServices,
    collection_id: CollectionId,
    change: CollectionChange,
) -> CollectionOut:
    """Change the given fields of a collection of the caller's key.

    A shared one can be opened by every key that may read, with its queries, by whoever knows its
    id; only its owner changes it. Sharing ends when ``shared`` is set to false; a query that
    somebody opened before is theirs until the service forgets it.
    """
    record, changes = record_of(request), change.model_dump(exclude_unset=True)
    record.details = dict.fromkeys(changes, "changed")
    changed = await services.light.run(
        lambda: services.collections.change(collection_id, record.key, changes)
    )
    return _collection(changed, record.key)


@router.delete(
    "/collections/{collection_id}",
    summary="Delete a collection",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_COLLECTION | INVALID,
)
async def remove_collection(
    request: Request, services: BoundServices, collection_id: CollectionId
) -> None:
    """Delete a collection of the caller's key, and the saved queries that are in no other."""
    key = record_of(request).key
    await services.light.run(lambda: services.collections.remove(collection_id, key))


@router.put(
    "/collections/{collection_id}/cases/{case_id}",
    summary="Put a case into a collection",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NO_COLLECTION | FULL | INVALID,
)
async def collect_case(
    request: Request,
    services: BoundServices,
    collection_id: CollectionId,
    case_id: CaseId,
    entry: EntryIn,
) -> None:
    """Put a past case into a collection, or replace its note and conditions.

    It is there as long as it is a case.
    """
    record = record_of(request)
    record.details = {"case": case_id}
    what = collection_id, record.key, case_id, entry.note, entry.search
    await services.light.run(lambda: services.collections.put_case(*what))


@router.put(
    "/collections/{collection_id}/queries/{query_id}",
    summary="Save a query in a collection",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_JSON | NO_COLLECTION | FULL | INVALID,
)
async def collect_query(
    request: Request,
    services: BoundServices,
    collection_id: CollectionId,
    query_id: QueryId,
    entry: EntryIn,
) -> None:
    """Save a query in a collection, or replace its note and conditions.

    Until then the service stores no image of a query for good. From now on it keeps this one,
    sealed, as long as the query is in a collection: XEMPLAR_SAVED_DAYS at most from the last time
    that it was put into one. One key may save 200 queries.
    """
    record = record_of(request)
    record.details = {"query": query_id}
    query = await remembered(request, services, query_id)
    if query.pixels is None:
        raise NotFound("the image of this query was forgotten; send it again to save it")

    def work() -> None:
        saved = SavedQuery(query_id, query.image_id, pack(query, with_pixels=True))
        what = collection_id, record.key, saved, entry.note, entry.search
        services.collections.put_query(*what)

    await services.light.run(work)


@router.delete(
    "/collections/{collection_id}/entries/{entry_id}",
    summary="Take a case or a query out of a collection",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NO_COLLECTION | INVALID,
)
async def remove_entry(
    request: Request, services: BoundServices, collection_id: CollectionId, entry_id: EntryId
) -> None:
    """Take a case or a query out of a collection; a query that is in no other is deleted."""
    key = record_of(request).key
    await services.light.run(lambda: services.collections.drop(collection_id, key, entry_id))


@giving.post(
    "/keys/{key_id}/collections",
    summary="Give a key the collections of another one",
    responses=NO_JSON | NO_KEY | INVALID,
)
async def give_collections(
    request: Request, services: BoundServices, key_id: KeyId, owner: CollectionOwner
) -> GivenCollections:
    """Give a key all collections of another one, such as of one that it replaces.

    Collections from before the service had keys belong to no key until they are given to one.
    """
    given = await services.light.run(lambda: services.collections.give(owner.previous, key_id))
    changed = {"old": owner.previous, "new": key_id}
    record_of(request).details = {"owner": changed, "collections": given}
    return GivenCollections(collections=given)


def _asked(one: RecalledQuery, is_case: bool, root: str) -> AskedQuery:
    query = one.query
    has_image = is_case or one.has_pixels
    return AskedQuery(
        query_id=query.id,
        asked_at=query.at,
        kept_until=one.until,
        shared=query.shared,
        case_id=query.image_id if is_case else None,
        image_url=f"{root}/queries/{query.id}/image" if has_image else None,
    )


def _collection(one: Collection, key: str | None) -> CollectionOut:
    return CollectionOut(
        collection_id=one.id,
        name=one.name,
        note=one.note,
        shared=one.shared,
        mine=one.key == key,
        entries=one.entries,
        changed_at=one.changed_at,
    )


def _entry(one: CollectionEntry, case: Case | None, root: str) -> EntryOut:
    kind = "cases" if one.case is not None else "queries"
    return EntryOut(
        kind="case" if one.case is not None else "query",
        id=one.subject,
        note=one.note,
        search=one.search,
        added_at=one.added_at,
        kept_until=one.kept_until,
        image_url=f"{root}/{kind}/{one.subject}/image",
        case=None if case is None else case_out(case, root),
    )
