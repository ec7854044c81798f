"""Keys of sources: for each operation, a case of another source is one that does not exist."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from xemplar_app.admission import reader
from xemplar_app.service import BoundServices

from tests.app.asking import ask, bearer, problem
from tests.app.test_roles import ADMINS, OPEN
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.catalog import Case, open_catalog
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(86, 300, 200))
NEW = encoded(drawn_image(87))
NOBODY = "0" * 16
HALF = CASES // 2

REQUIRED = {"finding": "Effusion", "rater": "ann", "text": "effusion"}
"""Parameters that an operation asks for."""

BODIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "change_case": lambda _: {"json": {"sex": "F"}},
    "put_ratings": lambda case: {"json": {"ratings": [{"case_id": case, "rating": 1}]}},
    "create_collection": lambda _: {"json": {"name": "mine"}},
    "change_collection": lambda _: {"json": {"note": "mine"}},
    "collect_case": lambda _: {"json": {}},
    "collect_query": lambda _: {"json": {}},
    "query": lambda _: {"files": {"image": IMAGE}},
    "query_together": lambda _: {"files": [("image", IMAGE), ("image", IMAGE)]},
    "query_batch": lambda _: {"files": [("image", IMAGE), ("image", IMAGE)]},
    "query_series": lambda _: {"files": [("image", IMAGE), ("image", IMAGE)]},
    "put_case": lambda _: {"files": {"image": NEW}},
}

CHANGES = ("remove_case", "put_case", "forget_query", "remove_collection", "remove_entry")
"""Operations whose answers show no case, and after which others have nothing to answer."""

OF_STUDIES = ("next_reading", "put_reading", "reading_image", "reading_case_image")
"""Operations that need a reader study; `test_reader_studies` looks at them."""

OF_DEEP_IMAGES = ("query_values",)
"""Operations that need an image of more than 8 bits; they show the query alone."""

NAMES_A_CASE = {"case_id", "exclude", "exclude_patient_of"}
"""Parameters that name a case; `put_ratings` names one in its body."""

NO_CASES = {
    *("job_id", "name", "key_id"),  # administrators see all sources
    *("image_id", "query_id", "collection_id", "entry_id"),  # of what the caller has
    *("study_id", "number", "place"),  # of a reader study, which is planned over one of the sources
}
"""Other parameters in paths. A new one must be listed, and thought of."""


@pytest.fixture
def wards(own: SmallStore) -> dict[str, list[Case]]:
    """The store's cases by source: half are of ward a; b has a finding of its own."""
    with open_catalog(own.store.database_url) as catalog:
        numbers = range(1, CASES + 1)
        for number, case in catalog.cases(numbers).items():
            source = "ward-a" if number % 2 else "ward-b"
            catalog.describe(case.case_id, {"source": source, "patient": f"{source}-{number:09}"})
        cases = [*catalog.cases(numbers).values()]
        of = {w: [case for case in cases if case.source == w] for w in ("ward-a", "ward-b")}
        catalog.describe(of["ward-b"][0].case_id, {"labels": {"Gout": 1}})
    return of


Caller = Callable[..., TestClient]


@pytest.fixture
def caller(wards: dict[str, list[Case]], own_client: TestClient, keys: Keys) -> Caller:
    """The service as whoever has a new key of a role and sources sees it."""

    def made(role: Role, *sources: str) -> TestClient:
        _, secret = keys.create("x", role, sources=sources or None)
        assert own_client.portal is not None
        own_client.portal.call(own_client.app_state["guard"].ring.renew)
        client = copy.copy(own_client)
        client.headers = bearer(secret)  # type: ignore[assignment]
        return client

    return made


def operations(client: TestClient) -> Iterator[tuple[str, str, str, list[dict[str, Any]]]]:
    """(id, method, path, parameters) of all that a reader or a writer may do."""
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            if name not in ADMINS | OPEN:
                yield name, method, path, operation.get("parameters", [])


def sent(
    client: TestClient,
    operation: tuple[str, str, str, list[dict[str, Any]]],
    named: dict[str, str],
    **asked: str,
) -> httpx2.Response:
    """The answer to an operation whose path names these ids."""
    name, method, path, parameters = operation
    params = dict(asked)
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", named[parameter["name"]])
        elif parameter["required"]:
            params[parameter["name"]] = REQUIRED[parameter["name"]]
    body = BODIES.get(name, lambda _: {})(named["case_id"])
    return client.request(method, path, params=params, **body)


def made_collection(client: TestClient) -> str:
    collection: str = client.post("/collections", json={"name": "mine"}).json()["collection_id"]
    return collection


def told(response: httpx2.Response, *ids: str) -> tuple[int, str]:
    """Status and text of an answer, without the request's own id and what it asked for."""
    text = response.text.replace(response.headers["x-request-id"], "")
    for one in ids:
        text = text.replace(one, "")
    return response.status_code, text


def test_each_operation_answers_for_a_case_of_another_source_as_for_one_that_is_not_there(
    caller: Caller, wards: dict[str, list[Case]]
) -> None:
    client, (other, *_) = caller(Role.WRITER, "ward-a"), wards["ward-b"]
    answer = ask(client, IMAGE)
    ids = {"query_id": answer["query_id"], "image_id": "f" * 16, "rater": "ann"}
    ids["collection_id"] = made_collection(client)
    walked = set()
    for operation in operations(client):
        name, _, path, parameters = operation
        assert {p["name"] for p in parameters if p["in"] == "path"} <= {
            *NO_CASES,
            *NAMES_A_CASE,
            *REQUIRED,
        }
        in_path = "{case_id}" in path or name == "put_ratings"
        lists = [p["name"] for p in parameters if p["in"] == "query" and p["name"] in NAMES_A_CASE]
        for named, asked in [
            *([({"case_id": other.case_id}, {})] if in_path else []),
            *(({"case_id": wards["ward-a"][0].case_id}, {one: other.case_id}) for one in lists),
        ]:
            walked.add(name)
            hidden = sent(client, operation, ids | named, **asked)
            missing_named = {k: NOBODY if v == other.case_id else v for k, v in named.items()}
            missing_asked = {k: NOBODY if v == other.case_id else v for k, v in asked.items()}
            missing = sent(client, operation, ids | missing_named, **missing_asked)
            assert hidden.status_code == 404, f"{name}: {hidden.text}"
            assert told(hidden, other.case_id) == told(missing, NOBODY), name
    assert walked == {
        *(
            "query",
            "query_together",
            "query_batch",
            "query_series",
            "similar",
            "query_similar",
            "query_evidence",
            "query_matches",
        ),
        *(
            "query_ranking",
            "case_ranking",
            "case",
            "case_timeline",
            "case_image",
            "case_overlay",
            "case_evidence",
        ),
        *("put_ratings", "change_case", "remove_case", "collect_case"),
    }
    whole = caller(Role.ADMIN)
    unchanged = whole.get(f"/cases/{other.case_id}").json()
    assert unchanged["sex"] == other.sex


def test_no_answer_of_any_operation_tells_a_case_of_another_source(
    caller: Caller, wards: dict[str, list[Case]]
) -> None:
    both, client = caller(Role.READER), caller(Role.WRITER, "ward-a")
    seen = ask(both, IMAGE, k=CASES)  # a query of somebody else, who sees all
    for ward in wards.values():
        rated = [{"case_id": case.case_id, "rating": 2} for case in ward]
        path = f"/ratings/{hashlib.sha256(IMAGE).hexdigest()[:16]}/bob"
        assert both.put(path, json={"ratings": rated}).status_code == 204
    answer = ask(client, IMAGE)
    mine = wards["ward-a"][0].case_id
    ids = {"query_id": answer["query_id"], "image_id": "f" * 16, "rater": "ann", "case_id": mine}
    ids["collection_id"] = made_collection(client)
    walked = {}
    for operation in operations(client):
        if operation[0] in (*CHANGES, *OF_STUDIES, *OF_DEEP_IMAGES):
            continue
        k = {"k": str(CASES)} if any(p["name"] == "k" for p in operation[3]) else {}
        response = sent(client, operation, ids, **k)
        assert response.status_code < 300, f"{operation[0]}: {response.text}"
        if response.headers.get("content-type") == "application/json":
            walked[operation[0]] = response.text
    walked["docs"] = client.get("/docs/openapi.json").text
    assert {"query", "cases", "findings", "similar", "query_ratings"} <= walked.keys()
    for name, text in walked.items():
        for hidden in ["Gout", seen["query_id"], *(c.case_id for c in wards["ward-b"])]:
            assert hidden not in text, name
    assert "Gout" in both.get("/findings").text
    counted = {o["finding"]: o["cases"] for o in json.loads(walked["findings"])["findings"]}
    assert counted["Effusion"] == sum("Effusion" in c.findings for c in wards["ward-a"])


def test_a_search_finds_k_cases_of_its_sources_however_near_the_others_are(
    caller: Caller, wards: dict[str, list[Case]], own: SmallStore
) -> None:
    client = caller(Role.READER, "ward-a")
    mine, other = ({case.case_id for case in wards[w]} for w in ("ward-a", "ward-b"))
    for image in own.images:
        answer = ask(client, image, k=HALF, counter_examples=20)
        assert {near["case_id"] for near in answer["neighbours"]} == mine
        assert not {near["case_id"] for near in answer["counter_examples"]} & other
        assert answer["matched"] == HALF
        own_id = hashlib.sha256(image).hexdigest()[:16]
        assert answer["archived_as"] == (own_id if own_id in mine else None)
    listed = client.get("/cases", params={"limit": 4}).json()
    rest = client.get(listed["next"]).json()
    assert {case["case_id"] for case in listed["cases"] + rest["cases"]} == mine
    assert client.get("/cases", params={"source": "ward-b"}).json()["cases"] == []


def test_for_a_route_that_asks_for_no_key_no_case_exists(own_client: TestClient) -> None:
    router = APIRouter()

    @router.get("/forgetful", dependencies=[])
    @router.get("/guarded", dependencies=[reader])
    async def count(services: BoundServices) -> int:
        return len(services.catalog.page(services.retriever.checkpoint.digest))

    assert isinstance(own_client.app, FastAPI)
    own_client.app.include_router(router)
    assert own_client.get("/guarded").json() == CASES
    assert own_client.get("/forgetful").json() == 0


def test_readers_of_two_departments_rate_one_image_and_keep_their_ratings(
    caller: Caller, wards: dict[str, list[Case]]
) -> None:
    image = "f" * 16
    for ward, rater, rating in (("ward-a", "ann", 1), ("ward-b", "bob", 3)):
        client = caller(Role.READER, ward)
        rated = [{"case_id": case.case_id, "rating": rating} for case in wards[ward]]
        assert client.put(f"/ratings/{image}/{rater}", json={"ratings": rated}).status_code == 204
    assert client.put(f"/ratings/{image}/ann", json={"ratings": []}).status_code == 409
    assert client.put(f"/ratings/{image}/bob", json={"ratings": []}).status_code == 204
    rows = caller(Role.ADMIN).get("/ratings.csv").text.split()[1:]
    assert {row.split(",")[1] for row in rows} == {case.case_id for case in wards["ward-a"]}


# ---- what a writer may put in ---------------------------------------------------------------


def test_a_case_gets_the_only_source_of_the_key_that_puts_it_in(caller: Caller) -> None:
    response = caller(Role.WRITER, "ward-a").post("/cases", files={"image": NEW})
    assert (response.status_code, response.json()["source"]) == (201, "ward-a")
    assert ask(caller(Role.READER, "ward-b"), NEW)["archived_as"] is None


@pytest.mark.parametrize(
    ("sources", "named", "why"),
    [
        (
            ("ward-a",),
            {"source": "ward-b"},
            "this key can add and change cases of these sources",
        ),
        (("ward-a", "ward-c"), {}, "source is missing; name one of this key's: 'ward-a', 'ward-c'"),
        ((), {}, "source is missing; name the data set or hospital"),
    ],
)
def test_a_source_that_is_not_plain_or_not_the_keys_is_refused(
    caller: Caller, own: SmallStore, sources: tuple[str, ...], named: dict[str, str], why: str
) -> None:
    client = caller(Role.WRITER, *sources)
    response = client.post("/cases", data=named, files={"image": NEW})
    assert why in problem(response, 422, "InvalidArgument")
    digest = hashlib.sha256(NEW).hexdigest()
    assert not [path for path in own.store.media.rglob("*") if digest in path.name]


def test_a_case_is_moved_among_the_keys_own_sources_alone(
    caller: Caller, wards: dict[str, list[Case]]
) -> None:
    client, mine = caller(Role.WRITER, "ward-a", "ward-c"), wards["ward-a"][0].case_id
    moved = client.patch(f"/cases/{mine}", json={"source": "ward-c", "patient": None})
    assert moved.json()["source"] == "ward-c"
    wrong = client.patch(f"/cases/{mine}", json={"source": "ward-b", "patient": None})
    assert "'ward-a', 'ward-c'" in problem(wrong, 422, "InvalidArgument")
    assert client.get(f"/cases/{mine}").json()["source"] == "ward-c"


def test_an_image_that_is_a_case_of_another_source_is_neither_taken_over_nor_described(
    caller: Caller, wards: dict[str, list[Case]], own: SmallStore
) -> None:
    other = wards["ward-b"][0]
    image = next(f for f in own.images if hashlib.sha256(f).hexdigest() == other.image_sha256)
    client = caller(Role.WRITER, "ward-a")
    about = {"source": "ward-a", "sex": "FM"[other.sex == "F"]}
    response = client.post("/cases", data=about, files={"image": image})
    detail = problem(response, 409, "CaseElsewhere")
    assert "ward-b" not in detail
    kept = caller(Role.ADMIN).get(f"/cases/{other.case_id}").json()
    assert (kept["source"], kept["sex"]) == ("ward-b", other.sex)


def test_an_image_that_another_source_has_in_another_file_becomes_a_case(
    caller: Caller, wards: dict[str, list[Case]], own: SmallStore
) -> None:
    other = wards["ward-b"][0]
    place = next(
        n for n, f in enumerate(own.images) if hashlib.sha256(f).hexdigest() == other.image_sha256
    )
    copy = encoded(drawn_image(place), "TIFF")
    response = caller(Role.WRITER, "ward-a").post("/cases", files={"image": copy})
    assert response.status_code == 201, response.text
    assert response.json()["warnings"] == []
    assert response.json()["case_id"] == hashlib.sha256(copy).hexdigest()[:16]
