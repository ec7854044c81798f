"""The audit trail: what was asked and changed, by whom, and nothing that tells a patient."""

import hashlib
from http import HTTPStatus
from typing import Any, NoReturn

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from xemplar_app import audit as trail
from xemplar_app.admission import writer
from xemplar_app.main import create_app
from xemplar_app.problems import Refusal
from xemplar_app.settings import Settings

from tests.app.asking import Service, ask, bearer, problem
from tests.films import drawn_film, encoded
from tests.stores import SmallStore
from xemplar.catalog.audit import Audit
from xemplar.catalog.keys import Keys, Role
from xemplar.errors import DatabaseUnreachable, StorageFull
from xemplar.retriever import Retriever

FILM = encoded(drawn_film(82, 300, 200))


def entries(client: TestClient, **asked: Any) -> list[dict[str, Any]]:
    response = client.get("/audit", params=asked)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["entries"]
    return found


def test_a_query_is_audited_with_its_film_and_its_results(service: Service, keys: Keys) -> None:
    key, secret = keys.create("x", Role.ADMIN)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    sent = {"X-Request-ID": "mine-1"}
    response = client.post("/query", files={"image": ("Doe^Jane.png", FILM)}, headers=sent)
    answer = response.json()
    (entry,) = entries(client, action="query")
    del entry["id"], entry["at"]
    assert entry == {
        "request_id": response.headers["x-request-id"],
        "key": key.id,
        "role": "admin",
        "action": "query",
        "status": 200,
        "subject": answer["query_id"],
        "image_sha256": hashlib.sha256(FILM).hexdigest(),
        "generation": answer["generation"],
        "results": [near["case_id"] for near in answer["neighbours"]],
    }


def test_a_question_about_a_case_names_the_case(service: Service) -> None:
    client = service()
    case = ask(client, FILM)["neighbours"][0]["case_id"]
    found = client.get(f"/cases/{case}/similar").json()
    (entry,) = entries(client, action="similar")
    assert entry["subject"] == case
    assert entry["results"] == [near["case_id"] for near in found["neighbours"]]
    assert (entry["key"], entry["image_sha256"]) == (None, None)


def test_what_was_denied_is_audited_and_pictures_are_not(service: Service, keys: Keys) -> None:
    reader, secret = keys.create("x", Role.READER)
    _, admins = keys.create("y", Role.ADMIN)
    client = service()
    client.get("/audit")
    client.get("/audit", headers=bearer(secret))
    client.get(f"/cases/{'0' * 16}/image", headers=bearer(secret))
    client.get("/nowhere")
    client.get("/healthz")
    client.headers = bearer(admins)  # type: ignore[assignment]
    denied = [e for e in entries(client) if e["action"] not in ("create_key", "revoke_key")]
    assert [(e["action"], e["status"], e["key"]) for e in denied] == [
        ("audit", 403, reader.id),
        ("audit", 401, None),
    ]


def test_a_film_that_cannot_be_used_is_audited(service: Service) -> None:
    client = service()
    assert client.post("/query", files={"image": b"no film"}).status_code == 400
    (entry,) = entries(client)
    assert (entry["status"], entry["results"]) == (400, [])
    assert entry["image_sha256"] == hashlib.sha256(b"no film").hexdigest()


def test_text_that_somebody_wrote_into_an_address_is_not_kept(service: Service) -> None:
    client = service()
    assert client.get("/cases/Doe-Jane/similar").status_code == 422
    client.post("/query?finding=Doe-Jane", files={"image": FILM})
    assert "Doe" not in client.get("/audit").text


def test_entries_are_read_page_by_page(service: Service) -> None:
    client = service()
    for _ in range(5):
        ask(client, FILM, k=1)
    read, question = [], {"limit": 2}
    while True:
        page = client.get("/audit", params=question).json()
        read += [entry["id"] for entry in page["entries"]]
        if page["before"] is None:
            break
        question["before"] = page["before"]
    assert len(read) == 5
    assert read == sorted(set(read), reverse=True)


@pytest.mark.parametrize(
    "question",
    [
        {"since": "2026-01-01T00:00:00"},
        {"since": "1767225600"},
        {"before": 2**63},
        {"limit": 0},
        {"limit": 1001},
        {"who": "me"},
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(
    client: TestClient, question: dict[str, Any]
) -> None:
    problem(client.get("/audit", params=question), 422, "InvalidRequest")


def unreachable(*_: object) -> NoReturn:
    raise DatabaseUnreachable("gone")


def test_a_change_that_cannot_be_audited_fails_and_a_query_is_answered(
    own: SmallStore, settings: Settings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retriever, "close", lambda: None)
    changes = settings.model_copy(update={"database_url": own.store.database_url})
    app, router = create_app(changes, retriever), APIRouter()

    @router.post("/change", dependencies=[writer])
    async def change() -> str:
        return "changed"

    app.include_router(router)
    with TestClient(app) as client:
        assert client.post("/change").json() == "changed"
        assert [e["action"] for e in entries(client)] == ["change"]
        monkeypatch.setattr(Audit, "add", unreachable)
        detail = problem(client.post("/change"), 503, "NotAudited")
        assert "could not be audited" in detail
        ask(client, FILM)
        assert "xemplar_unaudited_total 2.0" in client.get("/metrics").text


@pytest.mark.parametrize("status", [404, 409, 422, 500, 507])
def test_a_change_that_failed_keeps_its_own_answer_where_it_cannot_be_audited(
    own: SmallStore,
    settings: Settings,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setattr(retriever, "close", lambda: None)
    changes = settings.model_copy(update={"database_url": own.store.database_url})
    app, router = create_app(changes, retriever), APIRouter()

    @router.post("/change", dependencies=[writer])
    async def change() -> None:
        raise Refusal("Special", HTTPStatus(status), "it did not work, for a reason of its own")

    app.include_router(router)
    monkeypatch.setattr(Audit, "add", unreachable)
    with TestClient(app) as client:
        detail = problem(client.post("/change"), status, "Special")
    assert detail == "it did not work, for a reason of its own"


@pytest.mark.parametrize("error", [StorageFull("x"), KeyError("x"), OSError(28, "x")])
def test_a_change_that_cannot_be_audited_for_any_reason_is_said_to_be_done(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    client = service()
    monkeypatch.setattr(Audit, "add", fail)
    detail = problem(client.post("/keys", json={"name": "x", "role": "admin"}), 503, "NotAudited")
    assert "was done" in detail


def test_what_is_older_than_the_setting_is_forgotten_at_the_start(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(trail.Audit, "forget", lambda _, days: asked.append(days) or 0)
    service()
    assert asked == []
    client = service(audit_days=30)
    client.get("/readyz")
    assert asked == [30]
