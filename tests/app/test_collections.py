"""Work that stays: a reader's queries, collections with notes, and what others see of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(41, 300, 240))
OTHER = encoded(drawn_image(42, 300, 240))
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ann(service: Service, keys: Keys) -> TestClient:
    """Asks with a key of its own."""
    secret = keys.create("ann", Role.READER)[1]
    client = service()
    client.headers.update(bearer(secret))
    return client


@pytest.fixture
def bob(ann: TestClient, keys: Keys) -> dict[str, str]:
    """Headers of another reader."""
    secret = keys.create("bob", Role.READER)[1]
    assert ann.portal is not None
    ann.portal.call(ann.app_state["guard"].ring.renew)
    return bearer(secret)


def made(client: TestClient, name: str = "Effusions", note: str = "") -> str:
    response = client.post("/collections", json={"name": name, "note": note})
    assert response.status_code == 201, response.text
    collection: str = response.json()["collection_id"]
    return collection


def content(client: TestClient, collection: str, **headers: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/collections/{collection}", **headers).json()[
        "content"
    ]
    return found


def history(client: TestClient, **more: Any) -> list[str]:
    return [one["query_id"] for one in client.get("/queries", **more).json()["queries"]]


def test_a_query_and_a_case_are_collected_with_notes_and_conditions(ann: TestClient) -> None:
    answer = ask(ann, IMAGE, k=3)
    query, case = answer["query_id"], answer["neighbours"][0]["case_id"]
    collection = made(ann, note="for Friday")
    address = f"/collections/{collection}"
    said = {"note": MARKUP, "search": "k=3&none_of=effusion&none_of=Mass"}
    assert ann.put(f"{address}/queries/{query}", json=said).status_code == 204
    assert ann.put(f"{address}/cases/{case}", json={"note": "like it"}).status_code == 204
    first, second = content(ann, collection)
    assert (first["kind"], first["id"], first["note"], first["case"]) == (
        *("query", query),
        *(MARKUP, None),
    )
    assert first["search"] == said["search"]
    assert first["kept_until"] > first["added_at"]
    assert (second["kind"], second["id"], second["kept_until"]) == ("case", case, None)
    assert second["case"]["findings"] == answer["neighbours"][0]["findings"]
    for one in (first, second):
        assert ann.get(one["image_url"]).headers["content-type"] == "image/jpeg"
    listed = ann.get("/collections").json()["collections"]
    assert [(one["name"], one["entries"], one["mine"]) for one in listed] == [
        ("Effusions", 2, True)
    ]


def test_a_collection_is_changed_and_deleted(ann: TestClient) -> None:
    collection = made(ann)
    query = ask(ann, IMAGE)["query_id"]
    address = f"/collections/{collection}"
    changed = ann.patch(address, json={"name": "Others"}).json()
    assert (changed["name"], changed["note"], changed["shared"]) == ("Others", "", False)
    ann.put(f"{address}/queries/{query}", json={})
    assert ann.delete(f"{address}/entries/{query}").status_code == 204
    assert content(ann, collection) == []
    assert ann.delete(address).status_code == 204
    problem(ann.get(address), 404, "NotFound")


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "x" * 101}, {"name": "a\u202eb"}, {"name": "x", "note": "\x1b[2J"}, {}],
)
def test_texts_that_are_too_long_or_hold_control_characters_are_refused(
    ann: TestClient, wrong: dict[str, str]
) -> None:
    problem(ann.post("/collections", json=wrong), 422, "InvalidRequest")


def test_a_note_has_lines(ann: TestClient) -> None:
    collection = made(ann, note="one\ntwo")
    assert ann.get(f"/collections/{collection}").json()["note"] == "one\ntwo"


@pytest.mark.parametrize("search", ["age_min=60&age_max=40", "k=1000", "kk=3", "sex=F&sex=X"])
def test_conditions_that_no_search_takes_are_refused(ann: TestClient, search: str) -> None:
    address = f"/collections/{made(ann)}/queries/{ask(ann, IMAGE)['query_id']}"
    problem(ann.put(address, json={"search": search}), 422, "InvalidArgument")


def test_a_shared_collection_is_read_by_others_with_its_queries_until_it_is_not(
    ann: TestClient, bob: dict[str, str]
) -> None:
    query, collection = ask(ann, IMAGE)["query_id"], made(ann)
    address = f"/collections/{collection}"
    ann.put(f"{address}/queries/{query}", json={"note": "look"})
    for path in (address, f"/queries/{query}/image"):
        problem(ann.get(path, headers=bob), 404, "NotFound")
    assert ann.patch(address, json={"shared": True}).json()["shared"]
    shown = ann.get(address, headers=bob).json()
    assert (shown["mine"], shown["content"][0]["note"]) == (False, "look")
    assert ann.get(f"/queries/{query}/image", headers=bob).status_code == 200
    problem(ann.patch(address, json={"name": "mine"}, headers=bob), 404, "NotFound")
    problem(ann.delete(f"{address}/entries/{query}", headers=bob), 404, "NotFound")
    ann.patch(address, json={"shared": False})
    problem(ann.get(address, headers=bob), 404, "NotFound")
    problem(ann.get(f"/queries/{query}/image", headers=bob), 404, "NotFound")


def test_a_query_of_another_key_cannot_be_saved(ann: TestClient, bob: dict[str, str]) -> None:
    query = ask(ann, IMAGE)["query_id"]
    made_by_bob = ann.post("/collections", json={"name": "x"}, headers=bob).json()
    path = f"/collections/{made_by_bob['collection_id']}/queries/{query}"
    problem(ann.put(path, json={}, headers=bob), 404, "NotFound")


def test_one_s_own_queries_are_listed_newest_first_and_forgotten_on_demand(
    ann: TestClient, bob: dict[str, str]
) -> None:
    first, second = (ask(ann, image)["query_id"] for image in (IMAGE, OTHER))
    case = ann.get("/cases").json()["cases"][0]["case_id"]
    of_case = ann.get(f"/cases/{case}/similar").json()["query_id"]
    assert history(ann) == [of_case, second, first]
    assert history(ann, params={"limit": 1}) == [of_case]
    newest = ann.get("/queries").json()["queries"][0]
    assert newest["case_id"] == case
    assert newest["kept_until"] > newest["asked_at"]
    assert history(ann, headers=bob) == []
    problem(ann.delete(f"/queries/{first}", headers=bob), 404, "NotFound")
    assert ann.delete(f"/queries/{first}").status_code == 204
    assert history(ann) == [of_case, second]
    problem(ann.get(f"/queries/{first}/image"), 404, "NotFound")
    problem(ann.delete(f"/queries/{first}"), 404, "NotFound")


def test_what_is_collected_is_audited_without_a_word_of_it(
    ann: TestClient, keys: Keys, bob: dict[str, str]
) -> None:
    collection = made(ann, "Effusions", "secret note")
    case = ann.get("/cases").json()["cases"][0]["case_id"]
    ann.put(f"/collections/{collection}/cases/{case}", json={"note": "secret note"})
    ann.patch(f"/collections/{collection}", json={"shared": True})
    admin = bearer(keys.create("admin", Role.ADMIN)[1])
    assert ann.portal is not None
    ann.portal.call(ann.app_state["guard"].ring.renew)
    trail = ann.get("/audit", headers=admin)
    entries = {one["action"]: one for one in trail.json()["entries"]}
    assert entries["collect_case"]["subject"] == collection
    assert entries["collect_case"]["details"] == {"case": case}
    assert entries["change_collection"]["details"] == {"shared": "changed"}
    assert entries["create_collection"]["subject"] == collection
    assert "secret" not in trail.text
    assert "Effusions" not in trail.text


def test_an_administrator_gives_a_key_the_collections_of_another(
    ann: TestClient, keys: Keys, bob: dict[str, str]
) -> None:
    collection = made(ann)
    old, new = ann.get("/me").json()["key"], ann.get("/me", headers=bob).json()["key"]
    path, body = f"/keys/{new}/collections", {"previous": old}
    problem(ann.post(path, json=body, headers=bob), 403, "Forbidden")
    admin = bearer(keys.create("admin", Role.ADMIN)[1])
    assert ann.portal is not None
    ann.portal.call(ann.app_state["guard"].ring.renew)
    assert ann.post(path, json=body, headers=admin).json() == {"collections": 1}
    assert ann.get(f"/collections/{collection}", headers=bob).json()["mine"]
    problem(ann.get(f"/collections/{collection}"), 404, "NotFound")


# ---- over a restart -------------------------------------------------------------------------


@pytest.fixture
def restarted(own: SmallStore) -> Iterator[Callable[[], TestClient]]:
    """Starts a service on the store; the one before has stopped."""
    with ExitStack() as running:

        def start() -> TestClient:
            running.pop_all().close()
            settings = ServiceSettings(
                store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
            )
            return running.enter_context(TestClient(create_app(settings, open_retriever(settings))))

        yield start


def test_a_saved_query_survives_a_restart_with_its_image_and_others_without(
    restarted: Callable[[], TestClient],
) -> None:
    client = restarted()
    saved, other = ask(client, IMAGE, k=3), ask(client, OTHER)["query_id"]
    collection = made(client)
    client.put(f"/collections/{collection}/queries/{saved['query_id']}", json={})
    image = client.get(saved["image_url"]).content
    client = restarted()
    told = problem(
        client.put(f"/collections/{collection}/queries/{other}", json={}), 404, "NotFound"
    )
    assert "send it again to save it" in told
    assert client.get(saved["image_url"]).content == image
    images = {one["query_id"]: one["image_url"] for one in client.get("/queries").json()["queries"]}
    assert images == {saved["query_id"]: saved["image_url"], other: None}
    again = client.get(f"/queries/{saved['query_id']}/similar?k=3").json()
    assert again["neighbours"] == saved["neighbours"]
    case = saved["neighbours"][0]["case_id"]
    assert client.get(f"/queries/{saved['query_id']}/matches/{case}").status_code == 200
