"""The audit trail: what was asked and changed, by whom, and nothing that tells a patient."""

import hashlib
from datetime import date
from http import HTTPStatus
from typing import Any, NoReturn

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from xemplar_app import audit as trail
from xemplar_app import gathering, main
from xemplar_app.admission import writer
from xemplar_app.daily import SHOW_NO_CASE
from xemplar_app.main import create_app
from xemplar_app.problems import Refusal
from xemplar_app.settings import ServiceSettings

from tests.agreement import wait_until
from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.catalog import open_catalog
from xemplar.catalog.schema import connect
from xemplar.errors import DatabaseUnreachable, StorageFull
from xemplar.operations.audit import Audit
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(82, 300, 200))


def entries(client: TestClient, **asked: Any) -> list[dict[str, Any]]:
    response = client.get("/audit", params=asked)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["entries"]
    return found


def test_a_query_is_audited_with_its_image_and_its_results(service: Service, keys: Keys) -> None:
    key, secret = keys.create("x", Role.ADMIN)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    sent = {"X-Request-ID": "mine-1"}
    response = client.post("/query", files={"image": ("Doe^Jane.png", IMAGE)}, headers=sent)
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
        "image_sha256": hashlib.sha256(IMAGE).hexdigest(),
        "generation": answer["generation"],
        "results": [near["case_id"] for near in answer["neighbours"]],
        "count": 1,
        "details": None,
    }


def test_a_question_about_a_case_names_the_case(service: Service) -> None:
    client = service()
    case = ask(client, IMAGE)["neighbours"][0]["case_id"]
    found = client.get(f"/cases/{case}/similar").json()
    (entry,) = entries(client, action="similar")
    assert entry["subject"] == case
    assert entry["results"] == [near["case_id"] for near in found["neighbours"]]
    assert (entry["key"], entry["image_sha256"]) == (None, None)


def test_what_was_denied_is_audited(service: Service, keys: Keys) -> None:
    reader, secret = keys.create("x", Role.READER)
    _, admins = keys.create("y", Role.ADMIN)
    client = service()
    client.get("/audit")
    client.get("/audit", headers=bearer(secret))
    client.get("/nowhere")
    client.get("/healthz")
    client.headers = bearer(admins)  # type: ignore[assignment]
    denied = [e for e in entries(client) if e["action"] != "create_key"]
    assert {(e["action"], e["status"], e["key"]) for e in denied} == {
        ("audit", 403, reader.id),
        ("audit", 401, None),
    }


def test_each_look_at_a_case_is_audited_with_what_it_showed(service: Service, keys: Keys) -> None:
    key, secret = keys.create("x", Role.ADMIN)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    answer = ask(client, IMAGE, k=2)
    query, case = answer["query_id"], answer["neighbours"][0]["case_id"]
    client.put(f"/ratings/{answer['query_id']}/x", json={"ratings": []})
    listed = [one["case_id"] for one in client.get("/cases?limit=3").json()["cases"]]
    looks: dict[str, tuple[str, str | None, list[str]]] = {
        "case": (f"/cases/{case}", case, [case]),
        "case_timeline": (f"/cases/{case}/timeline", case, [case]),
        "case_image": (f"/cases/{case}/image", case, [case]),
        "case_overlay": (f"/cases/{case}/overlay?finding=Effusion", case, [case]),
        "case_evidence": (f"/cases/{case}/evidence/{query}", case, [case]),
        "query_image": (f"/queries/{query}/image", query, []),
        "query_overlay": (f"/queries/{query}/overlay", query, []),
        "query_evidence": (f"/queries/{query}/evidence/{case}", query, [case]),
        "query_matches": (f"/queries/{query}/matches/{case}", query, [case]),
        "query_ratings": (f"/queries/{query}/ratings", query, []),
        "ratings_csv": ("/ratings.csv", None, []),
        "cases": ("/cases?limit=3", None, listed),
        "audit": ("/audit", None, []),
    }
    for address, _, _ in looks.values():
        assert client.get(address).status_code == 200, address
    for action, (_, subject, results) in looks.items():
        entry = entries(client, action=action)[-1]
        assert (entry["key"], entry["role"], entry["status"]) == (key.id, "admin", 200), action
        assert (entry["subject"], entry["results"]) == (subject, results), action


def test_every_address_with_a_key_is_audited_or_shows_no_case(client: TestClient) -> None:
    """A new address is audited, unless somebody decided that it shows no case."""
    looks = {
        operation["operationId"]
        for path in client.get("/openapi.json").json()["paths"].values()
        for method, operation in path.items()
        if method == "get" and operation.get("security")
    }
    audited = {
        *("audit", "cases", "case", "case_image", "case_overlay", "case_evidence"),
        "case_timeline",
        *("query_image", "query_values", "query_text", "query_overlay", "query_evidence"),
        *("query_matches", "query_ratings"),
        *("similar", "query_similar", "query_ranking", "case_ranking", "ratings_csv"),
        *("next_reading", "reading_image", "reading_case_image", "readings_csv"),
        "collection",
    }
    assert looks - SHOW_NO_CASE == audited


def test_equal_looks_of_one_moment_are_one_entry_with_their_number(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "READS_SECONDS", 3600.0)
    client = service()
    case, other = (one["case_id"] for one in client.get("/cases?limit=2").json()["cases"])
    for _ in range(3):
        client.get(f"/cases/{case}")
    client.get(f"/cases/{other}")
    client.get(f"/cases/{'0' * 16}")
    found = entries(client, action="case")
    assert [(e["subject"], e["status"], e["results"], e["count"]) for e in found] == [
        ("0" * 16, 404, [], 1),
        (other, 200, [other], 1),
        (case, 200, [case], 3),
    ]


def test_requests_without_a_good_key_are_summed_up(service: Service, keys: Keys) -> None:
    _, secret = keys.create("x", Role.ADMIN)
    client = service(wrong_keys_per_minute=0)
    for number in range(60):
        wrong = bearer(f"xk_{number}") if number % 2 else {}
        assert client.get(f"/cases/{number:016x}", headers=wrong).status_code == 401
    client.headers = bearer(secret)  # type: ignore[assignment]
    found = [entry for entry in entries(client) if entry["status"] == 401]
    assert sum(entry["count"] for entry in found) == 60
    assert len(found) < 10
    told = {(e["action"], e["key"], e["role"], e["subject"]) for e in found}
    assert told == {("case", None, None, None)}


def test_looks_are_written_without_anybody_asking(service: Service, own: SmallStore) -> None:
    client = service()
    client.get(f"/cases/{'0' * 16}")
    engine = connect(own.store.database_url)
    wait_until(lambda: [one.action for one in Audit(engine).entries()] == ["case"])
    engine.dispose()


def test_looks_are_written_when_the_service_stops(
    own: SmallStore,
    settings: ServiceSettings,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "READS_SECONDS", 3600.0)
    monkeypatch.setattr(retriever, "close", lambda: None)
    own_settings = settings.model_copy(update={"database_url": own.store.database_url})
    engine = connect(own.store.database_url)
    with TestClient(create_app(own_settings, retriever)) as client:
        client.get(f"/cases/{'0' * 16}")
        assert Audit(engine).entries() == []
    assert [one.action for one in Audit(engine).entries()] == ["case"]
    engine.dispose()


def test_looks_wait_for_a_database_that_takes_no_entries(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service()
    with monkeypatch.context() as patch:
        patch.setattr(Audit, "add", unreachable)
        assert client.get("/cases?limit=2").status_code == 200
        wait_until(lambda: client.get("/readyz").json()["tasks"]["reads"]["failing"] is not None)
        assert client.get("/cases?limit=2").status_code == 200
        assert entries(client) == []
    (entry,) = entries(client, action="cases")
    assert entry["count"] == 2
    assert "xemplar_unaudited_total 0.0" in client.get("/metrics").text


def test_looks_that_find_no_room_to_wait_are_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MOST_WAITING", 2)
    monkeypatch.setattr(Audit, "add", unreachable)
    client = service()
    for number in range(5):
        client.get(f"/cases/{number:016x}")
    wait_until(lambda: "xemplar_unaudited_total 3.0" in client.get("/metrics").text)


def test_who_looked_at_a_case_is_found(service: Service) -> None:
    client = service()
    first, other = (one["case_id"] for one in client.get("/cases?limit=2").json()["cases"])
    client.get(f"/cases/{first}/image")
    client.get(f"/cases/{other}/image")
    assert [e["action"] for e in entries(client, case=first)] == ["case_image", "cases"]


def test_a_change_is_audited_with_old_and_new_values_but_not_the_patients(
    own_client: TestClient, own: SmallStore
) -> None:
    client = own_client
    case = client.get("/cases?limit=1").json()["cases"][0]
    view = "AP" if case["view"] != "AP" else "PA"
    change = {"view": view, "patient": "4711", "source": case["source"], "absent": ["Edema"]}
    with open_catalog(own.store.database_url) as catalog:
        old = catalog.case(case["case_id"])
        assert client.patch(f"/cases/{case['case_id']}", json=change).status_code == 200
        patient = catalog.case(case["case_id"]).patient
    (entry,) = entries(client, action="change_case")
    assert entry["details"] == {
        "view": {"old": old.view, "new": view},
        "labels": {"old": dict(old.labels), "new": {"Edema": 0}},
        "patient": "changed",
    }
    assert patient not in client.get("/audit").text
    assert old.patient not in client.get("/audit").text


def test_an_image_that_is_described_anew_is_audited_with_what_changed(
    own_client: TestClient,
) -> None:
    for age in (50, 51):
        own_client.post("/cases", data={"source": "a", "age": age}, files={"image": IMAGE})
    again, first = entries(own_client, action="put_case")
    assert (first["status"], first["details"]) == (201, None)
    assert (again["status"], again["details"]) == (200, {"age": {"old": 50, "new": 51}})


def test_saving_ratings_is_audited_with_the_reader_and_how_many_there_were(
    own_client: TestClient,
) -> None:
    client = own_client
    answer = ask(client, IMAGE, k=2)
    cases = [near["case_id"] for near in answer["neighbours"]]
    for rated in (cases, cases[:1]):
        said = {"ratings": [{"case_id": case, "rating": 3} for case in rated]}
        assert client.put(f"/ratings/{'f' * 16}/ada", json=said).status_code == 204
    found = [entry["details"] for entry in entries(client, action="put_ratings")]
    assert found == [
        {"rater": "ada", "ratings": {"old": 2, "new": 1}},
        {"rater": "ada", "ratings": {"old": 0, "new": 2}},
    ]


def test_a_removed_case_leaves_no_digest_and_no_value_in_the_trail(
    own_client: TestClient,
) -> None:
    digest = hashlib.sha256(IMAGE).hexdigest()
    made = own_client.post("/cases", data={"source": "a", "age": 50}, files={"image": IMAGE})
    case = made.json()["case_id"]
    ask(own_client, IMAGE)
    own_client.patch(f"/cases/{case}", json={"age": 63})
    assert digest in own_client.get("/audit").text
    assert own_client.delete(f"/cases/{case}").status_code == 204
    found = own_client.get("/audit")
    assert digest not in found.text
    by_action = {entry["action"]: entry for entry in found.json()["entries"]}
    assert by_action["put_case"]["subject"] == by_action["remove_case"]["subject"] == case
    assert by_action["change_case"]["details"] == {"age": "changed"}
    assert by_action["query"]["image_sha256"] is None


def test_an_image_that_cannot_be_used_is_audited(service: Service) -> None:
    client = service()
    assert client.post("/query", files={"image": b"no image"}).status_code == 400
    (entry,) = entries(client)
    assert (entry["status"], entry["results"]) == (400, [])
    assert entry["image_sha256"] == hashlib.sha256(b"no image").hexdigest()


def test_text_that_somebody_wrote_into_an_address_is_not_kept(service: Service) -> None:
    client = service()
    assert client.get("/cases/Doe-Jane/similar").status_code == 422
    client.post("/query?finding=Doe-Jane", files={"image": IMAGE})
    assert "Doe" not in client.get("/audit").text


def test_entries_are_read_page_by_page(service: Service) -> None:
    client = service()
    for _ in range(5):
        ask(client, IMAGE, k=1)
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
    own: SmallStore,
    settings: ServiceSettings,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
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
        ask(client, IMAGE)
        assert "xemplar_unaudited_total 2.0" in client.get("/metrics").text


@pytest.mark.parametrize("status", [404, 409, 422, 500, 507])
def test_a_change_that_failed_keeps_its_own_answer_where_it_cannot_be_audited(
    own: SmallStore,
    settings: ServiceSettings,
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
    assert "was carried out" in detail


def test_what_is_older_than_the_setting_is_forgotten_at_the_start(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(trail.Audit, "forget", lambda _, days: asked.append(days) or 0)
    service(audit_days=0).get("/readyz")
    assert asked == []
    service(audit_days=30).get("/readyz")
    wait_until(lambda: asked == [30])
    service().get("/readyz")
    wait_until(lambda: len(asked) == 2)
    six_years = asked[-1]
    assert six_years == (date(2030, 1, 1) - date(2024, 1, 1)).days
