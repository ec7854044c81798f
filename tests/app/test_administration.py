"""Keys, generations and findings over HTTP: what an operator does without a shell."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.agreement import wait_until
from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.catalog import open_catalog
from xemplar.index import generations
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import load
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(84, 300, 200))


def made(client: TestClient, name: str = "ward-3", role: str = "reader") -> dict[str, Any]:
    response = client.post("/keys", json={"name": name, "role": role})
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.json()
    return key


# ---- who asks -------------------------------------------------------------------------------


def test_without_keys_one_may_do_everything_on_ones_own_machine(service: Service) -> None:
    everything = {"key": None, "role": "admin", "sources": None, "expires_at": None}
    assert service().get("/me").json() == everything


@pytest.mark.parametrize("role", Role)
def test_a_caller_is_told_what_its_key_may_do(service: Service, keys: Keys, role: Role) -> None:
    sources = None if role == Role.ADMIN else ["ward-b", "ward-a"]
    key, secret = keys.create(
        "x", role, sources=sources, expires_at=datetime(2100, 1, 1, tzinfo=UTC)
    )
    answer = service().get("/me", headers=bearer(secret))
    assert answer.json() == {
        "key": key.id,
        "role": role,
        "sources": sources and sorted(sources),
        "expires_at": "2100-01-01T00:00:00Z",
    }


# ---- keys -----------------------------------------------------------------------------------


@pytest.fixture
def admin(service: Service, keys: Keys) -> TestClient:
    _, secret = keys.create("boss", Role.ADMIN)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    return client


def test_a_key_is_made_used_and_revoked_at_once(admin: TestClient) -> None:
    key = made(admin)
    secret = key.pop("secret")
    assert (key["name"], key["role"], key["revoked_at"]) == ("ward-3", "reader", None)
    listed = admin.get("/keys")
    assert key in listed.json()["keys"]
    assert secret not in listed.text
    assert admin.get("/me", headers=bearer(secret)).json()["key"] == key["id"]
    revoked = admin.post(f"/keys/{key['id']}/revoke").json()
    assert revoked == key | {"revoked_at": revoked["revoked_at"]}
    assert revoked["revoked_at"] is not None
    problem(admin.post(f"/keys/{key['id']}/revoke"), 404, "NotFound")
    problem(admin.get("/me", headers=bearer(secret)), 401, "Unauthorized")


def test_no_browser_keeps_a_secret(admin: TestClient) -> None:
    response = admin.post("/keys", json={"name": "x", "role": "reader"})
    assert response.headers["cache-control"] == "no-store"


def test_a_key_does_not_revoke_itself(admin: TestClient) -> None:
    own = admin.get("/me").json()["key"]
    detail = problem(admin.post(f"/keys/{own}/revoke"), 422, "InvalidArgument")
    assert "another key of role admin" in detail
    assert admin.get("/keys").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": " "}, {"name": "x" * 101}, {"role": "king"}, {"x": 1}),
        *({"sources": []}, {"sources": [" "]}, {"expires_at": "2100-01-01T00:00:00"}),
    ],
)
def test_what_can_be_no_key_is_refused(admin: TestClient, wrong: dict[str, Any]) -> None:
    asked = {"name": "x", "role": "reader", **wrong}
    problem(admin.post("/keys", json=asked), 422, "InvalidRequest")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"role": "admin", "sources": ["ward-a"]}, "sees all sources"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "cannot end 2020-01-01 00:00"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "within 36,525 days"),
    ],
)
def test_a_key_that_contradicts_itself_is_refused(
    admin: TestClient, wrong: dict[str, Any], why: str
) -> None:
    asked = {"name": "x", "role": "reader", **wrong}
    assert why in problem(admin.post("/keys", json=asked), 422, "InvalidArgument")


def test_a_key_of_sources_that_ends_is_made_and_listed(admin: TestClient) -> None:
    about = {"sources": ["ward-b", " ward-a"], "expires_at": "2100-01-01T01:00:00+01:00"}
    answer = admin.post("/keys", json={"name": "x", "role": "writer", **about})
    assert answer.status_code == 201, answer.text
    key = answer.json()
    kept = (["ward-a", "ward-b"], "2100-01-01T00:00:00Z")
    assert (key["sources"], key["expires_at"]) == kept
    listed = next(one for one in admin.get("/keys").json()["keys"] if one["id"] == key["id"])
    assert (listed["sources"], listed["expires_at"], listed["last_used_at"]) == (*kept, None)


def test_each_change_of_a_key_is_audited_once_with_who_did_it(admin: TestClient) -> None:
    own = admin.get("/me").json()["key"]
    key = made(admin)["id"]
    admin.post(f"/keys/{key}/revoke")
    entries = admin.get("/audit").json()["entries"]
    told = [(e["action"], e["subject"], e["key"]) for e in entries if e["subject"] == key]
    assert told == [("revoke_key", key, own), ("create_key", key, own)]


# ---- generations ----------------------------------------------------------------------------


@pytest.fixture
def two(own: SmallStore) -> tuple[str, str]:
    """Names of two generations, the older one first; the newer one is live."""
    with open_catalog(own.store.database_url) as catalog:
        build_generation(own.store, catalog, load(own.checkpoint))
    older, newer = (one.name for one in generations(own.store))
    return older, newer


def test_generations_are_listed_and_going_back_is_publishing_an_older_one(
    own: SmallStore, two: tuple[str, str], own_client: TestClient
) -> None:
    older, newer = two
    found = own_client.get("/generations").json()["generations"]
    assert [one["name"] for one in found] == [newer, older]
    assert [(one["live"], one["answers"]) for one in found] == [(True, True), (False, False)]
    assert {one["cases"] for one in found} == {CASES}
    assert {one["checkpoint"] for one in found} == {load(own.checkpoint).digest}
    published = own_client.post(f"/generations/{older}/publish")
    assert published.status_code == 200, published.text
    assert published.json()["live"]
    assert published.json()["published_at"] > found[1]["published_at"]
    wait_until(lambda: ask(own_client, IMAGE)["generation"] == older)
    entry = own_client.get("/audit?action=publish_generation").json()["entries"][0]
    assert (entry["status"], entry["subject"]) == (200, older)


def test_a_damaged_generation_is_not_published(
    own: SmallStore, two: tuple[str, str], own_client: TestClient
) -> None:
    older, newer = two
    (own.store.generations / older / "ids.npy").write_bytes(b"x")
    detail = problem(own_client.post(f"/generations/{older}/publish"), 422, "InvalidArgument")
    assert "could not answer" in detail
    assert str(own.store.root) not in detail
    live = [
        one["name"] for one in own_client.get("/generations").json()["generations"] if one["live"]
    ]
    assert live == [newer]


def test_a_generation_whose_network_is_not_there_is_not_published(
    own: SmallStore, two: tuple[str, str], own_client: TestClient
) -> None:
    older, _ = two
    manifest: Path = own.store.generations / older / "manifest.json"
    fields = json.loads(manifest.read_text()) | {"checkpoint": "0" * 64}
    manifest.write_text(json.dumps(fields))
    problem(own_client.post(f"/generations/{older}/publish"), 422, "InvalidArgument")


@pytest.mark.parametrize("damage", ["cut", "null", "size", "deep", "gone"])
def test_a_generation_without_a_readable_manifest_hides_no_other(
    own: SmallStore, two: tuple[str, str], own_client: TestClient, damage: str
) -> None:
    older, newer = two
    manifest: Path = own.store.generations / newer / "manifest.json"
    content = manifest.read_bytes()
    if damage == "gone":
        manifest.unlink()
    else:
        damages = {
            "cut": content[:100],
            "null": json.dumps(json.loads(content) | {"checkpoint": None}).encode(),
            "size": content.replace(b'"size": ', b'"size": "x'),
            "deep": b"[" * 100_000,
        }
        manifest.write_bytes(damages[damage])
    told = own_client.get("/generations").json()
    assert [one["name"] for one in told["generations"]] == [older]
    assert told["damaged"] == ([] if damage == "gone" else [newer])
    refused = own_client.post(f"/generations/{newer}/publish")
    problem(refused, *((404, "NotFound") if damage == "gone" else (422, "InvalidArgument")))
    published = own_client.post(f"/generations/{older}/publish")
    assert published.status_code == 200, published.text


def test_what_is_no_generation_cannot_be_published(own_client: TestClient) -> None:
    unknown = own_client.post("/generations/20000101T000000Z-00000000/publish")
    assert "there is no generation" in problem(unknown, 404, "NotFound")
    problem(own_client.post("/generations/..%2Fx/publish"), 404, "Http")
    problem(own_client.post("/generations/x/publish"), 422, "InvalidRequest")


# ---- findings -------------------------------------------------------------------------------


def test_findings_are_those_of_the_labels_and_those_of_the_network(
    own_client: TestClient, own: SmallStore
) -> None:
    case = own_client.post("/cases", data={"source": "a"}, files={"image": IMAGE}).json()["case_id"]
    with open_catalog(own.store.database_url) as catalog:  # as `index --unknown-findings keep` does
        catalog.describe(case, {"labels": {"Sarcoid": 1}})
    found = {one.pop("finding"): one for one in own_client.get("/findings").json()["findings"]}
    assert found["Sarcoid"] == {"cases": 1, "predicted": False}
    assert found["Effusion"] == {"cases": 3, "predicted": True}
    assert found["Hernia"] == {"cases": 0, "predicted": True}
    assert found["No Finding"]["predicted"] is False
    for name in found:  # each of them may be asked for
        assert own_client.get("/cases", params={"any_of": name}).status_code == 200
